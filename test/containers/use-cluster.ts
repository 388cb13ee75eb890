import { connect, type ConnectOptions, type Mesh } from "@plexus/mesh";
import { afterAll, beforeAll, expect } from "vitest";
import { silent, upTo } from "../support/mesh.ts";
import { Clerk } from "./agents/contract.ts";
import { startCluster, type ContainerCluster } from "./cluster.ts";
import type { Container, ContainerSpec } from "./container.ts";
import type { Images } from "./images.ts";
import { countRecorded, startWork, type Outcome, type Work } from "./work.ts";

/** What has gone wrong. */
export interface Damage extends Omit<Outcome, "calls" | "tasks"> {
  /** Results in the stream, of all tasks so far, less these tasks. */
  readonly recordedTooMany: number;
}

export const NOTHING: Damage = { failedCalls: [], lost: [], recordedTwice: [], recordedTooMany: 0 };

/** Brokers and clerks in containers, shared by the tests of a file. */
export interface ClusterFixture {
  readonly cluster: ContainerCluster;
  readonly mesh: Mesh;
  readonly clerks: Container[];
  /** Joins a mesh from this machine. */
  join(options?: ConnectOptions): Promise<Mesh>;
  startClerk(options?: Pick<ContainerSpec, "env" | "healthEveryMs">): Promise<Container>;
  /** Names of the clerks that are in the mesh. */
  present(): string[];
  /** Sees to it that not all clerks are connected to one broker. */
  spread(): Promise<void>;
  /** Calls and submits tasks while `broken` breaks something, and tells what has gone wrong: hopefully {@link NOTHING}. */
  workThrough(
    call: (caller: Mesh) => Promise<unknown>,
    broken: (work: Work) => Promise<void>,
  ): Promise<Damage>;
}

/** Starts them before the first test of a file and removes them after the last one. */
export function useCluster(images: Images | undefined, clerks: number): ClusterFixture {
  let cluster: ContainerCluster;
  let mesh: Mesh;
  let reader: Mesh;
  let started = 0;
  let tasks = 0;
  const all: Container[] = [];
  const join: ClusterFixture["join"] = (options) =>
    connect({ servers: cluster.urls, http: false, log: silent, ...options });
  const present = () => mesh.agents(Clerk).map(({ name }) => name);
  const startClerk: ClusterFixture["startClerk"] = (options = {}) =>
    cluster.startAgent(`clerk-${++started}`, ["agents/clerk.ts"], { until: /^ready/, ...options });

  beforeAll(async () => {
    if (images === undefined) return;
    cluster = await startCluster(images);
    all.push(...(await Promise.all(upTo(clerks).map(() => startClerk()))));
    [mesh, reader] = [await join(), await join()];
    await mesh.waitFor(Clerk, { instances: clerks });
  }, 90_000);
  afterAll(async () => {
    await mesh?.close();
    await reader?.close();
    await cluster?.[Symbol.asyncDispose]();
  }, 60_000);

  return {
    get cluster() {
      return cluster;
    },
    get mesh() {
      return mesh;
    },
    clerks: all,
    join,
    startClerk,
    present,
    async spread() {
      // Until it is so.
      while ((await cluster.connections("clerk-")).includes(all.length)) {
        await all[0]!.stop(30);
        await all[0]!.restart();
        await expect.poll(present, { timeout: 15_000 }).toHaveLength(all.length);
      }
    },
    async workThrough(call, broken) {
      await using work = startWork(mesh, call);
      await work.progress(50);
      await broken(work);
      await work.progress(50);
      const { calls: _calls, tasks: more, ...damage } = await work.finish(reader);
      tasks += more;
      // A broker that has just come back may answer with less than there is; what is too much, or missing for good, stays so.
      let recordedTooMany = 0;
      const count = async () => (recordedTooMany = (await countRecorded(cluster, mesh)) - tasks);
      await expect.poll(count, { timeout: 15_000, interval: 500 }).toBeGreaterThanOrEqual(0);
      return { ...damage, recordedTooMany };
    },
  };
}
