import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect as connectNats } from "@nats-io/transport-node";
import { isMeshError } from "@plexus/core";
import type { Mesh } from "@plexus/mesh";
import { expect } from "vitest";
import { inTurn, upTo } from "../support/mesh.ts";
import { Clerk } from "./agents/contract.ts";
import type { ContainerCluster } from "./cluster.ts";

/** What {@link Work.finish} has found. All but the counts must be empty. */
export interface Outcome {
  readonly calls: number;
  readonly tasks: number;
  /** Calls that were answered with an error, or wrongly. */
  readonly failedCalls: readonly string[];
  /** Tasks that were accepted and have no result, or a wrong one. */
  readonly lost: readonly string[];
  /** Tasks whose result is another one when it is read again. */
  readonly recordedTwice: readonly string[];
}

/** Durable tasks and calls without a pause, whatever breaks meanwhile. */
export interface Work extends AsyncDisposable {
  /** Resolves when this many more calls and tasks have ended. */
  progress(count: number): Promise<void>;
  /** Ends it, waits for every task, and reads each result a second time, on another connection. */
  finish(reader: Mesh): Promise<Outcome>;
}

const CALL_LANES = 8;
const TASK_LANES = 8;
const PROGRESS_MS = 40_000;
const SUBMIT_MS = 60_000;
const RESULT_TIMEOUT = "60s";

type Filed = { readonly sum: number; readonly execution: string };

/** Starts to call with `call`, and to submit tasks that take up to 30 ms. */
export function startWork(mesh: Mesh, call: (mesh: Mesh) => Promise<unknown>): Work {
  const ended = new AbortController();
  const failedCalls: string[] = [];
  const lost: string[] = [];
  const results = new Map<string, Filed>();
  let calls = 0;

  const callLane = async (): Promise<void> => {
    while (!ended.signal.aborted) {
      try {
        await call(mesh);
        calls++;
      } catch (error) {
        failedCalls.push(String(error));
        // A call that fails at once must not starve everything else.
        await sleep(10);
      }
    }
  };
  const taskLane = async (): Promise<void> => {
    while (!ended.signal.aborted) {
      const input = { a: randomInt(1_000), b: randomInt(1_000), ms: randomInt(30) };
      const task = await submitSurely(mesh, input);
      try {
        const filed = await task.result({ timeout: RESULT_TIMEOUT });
        results.set(task.id, filed);
        if (filed.sum !== input.a + input.b) lost.push(`${task.id}: ${filed.sum} is wrong`);
      } catch (error) {
        lost.push(`${task.id}: ${String(error)}`);
      }
    }
  };
  const lanes = [...upTo(CALL_LANES).map(callLane), ...upTo(TASK_LANES).map(taskLane)];
  const running = Promise.all(lanes);
  const stop = async (): Promise<void> => {
    ended.abort();
    await running;
  };
  return {
    async progress(count) {
      const before = { calls, tasks: results.size };
      const more = () => ({
        calls: Math.min(calls - before.calls, count),
        tasks: Math.min(results.size - before.tasks, count),
      });
      await expect.poll(more, { timeout: PROGRESS_MS }).toEqual({ calls: count, tasks: count });
    },
    async finish(reader) {
      await stop();
      const recordedTwice: string[] = [];
      const all = [...results];
      const readAgain = async (lane: number): Promise<void> =>
        inTurn(
          all.filter((_, index) => index % TASK_LANES === lane),
          async ([id, first]) => {
            const second = (await reader.task(id).result({ timeout: RESULT_TIMEOUT })) as Filed;
            if (second.execution !== first.execution) recordedTwice.push(id);
          },
        );
      await Promise.all(upTo(TASK_LANES).map(readAgain));
      return { calls, tasks: results.size, failedCalls, lost, recordedTwice };
    },
    [Symbol.asyncDispose]: stop,
  };
}

/** Submits until the broker has confirmed: with a key, repeating is safe whatever became of the first try. */
async function submitSurely(mesh: Mesh, input: { a: number; b: number; ms: number }) {
  const key = `${input.a}-${input.b}-${randomInt(2 ** 40)}`;
  const deadline = performance.now() + SUBMIT_MS;
  for (;;) {
    try {
      // Until it is accepted.
      return await mesh.submit(Clerk, "file", input, { key });
    } catch (error) {
      if (!isMeshError(error) || performance.now() > deadline) throw error;
      await sleep(100);
    }
  }
}

/** How many results the brokers have recorded, of all tasks ever. */
export async function countRecorded(cluster: ContainerCluster, mesh: Mesh): Promise<number> {
  const connection = await connectNats({ servers: [...cluster.urls] });
  try {
    const { streams } = await jetstreamManager(connection);
    const results = { subjects_filter: `${mesh.mesh}.done.*` }; // not what those have left who missed one
    const { state } = await streams.info(`${mesh.mesh}-results`, results);
    return Object.keys(state.subjects ?? {}).length;
  } finally {
    await connection.close();
  }
}
