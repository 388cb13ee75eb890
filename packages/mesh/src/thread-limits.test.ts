import { setTimeout as sleep } from "node:timers/promises";
import { jetstreamManager } from "@nats-io/jetstream";
import { entity, isMeshError, type Checkpointer, type OwnedThread } from "@plexus/core";
import { expect, test } from "vitest";
import { z } from "zod";
import { inTurn, upTo, useMeshes } from "../../../test/support/mesh.ts";
import type { Mesh } from "./mesh.ts";

const MAX_PAYLOAD = 64 * 1024;
const meshes = useMeshes({ maxPayload: MAX_PAYLOAD });

const Threads = entity("threads", {
  partitions: 1,
  lease: "1s",
  state: z.null(),
  initial: null,
  events: {},
  fold: {},
  commands: { stop: { input: z.unknown(), output: z.unknown() } },
});

async function host(mesh: Mesh, resumed: string[] = []): Promise<Checkpointer> {
  let store: Checkpointer | undefined;
  await mesh.hostThreads(Threads, (one) => {
    store = one;
    return {
      handlers: {},
      resume: async (thread) => void resumed.push(thread),
      leave: async () => {},
    };
  });
  return store!;
}

/** As soon as the partition is open. */
async function own(store: Checkpointer, thread: string): Promise<OwnedThread> {
  for (;;) {
    try {
      return await store.own(thread);
    } catch (error) {
      if (!isMeshError(error, "FENCED")) throw error;
    }
    await sleep(20);
  }
}

test("a broker that takes little gets records and snapshots in parts that it takes", async () => {
  const store = await host(await meshes.join());
  const most = store.maxPartBytes!;
  expect(most).toBeLessThan(MAX_PAYLOAD);
  expect(most).toBeGreaterThan(MAX_PAYLOAD / 2);
  const thread = "a long name ".repeat(20);
  await using owned = await own(store, thread);
  const large = upTo(4).map((n) => Buffer.alloc(most, n));
  await owned.append(large);
  await owned.snapshot(2, large);
  await expect(owned.snapshot(2, [Buffer.alloc(most + 1)])).rejects.toMatchObject({
    code: "MESSAGE_TOO_LARGE",
  });
  // As many small ones as one message would hold, but for what each of them takes besides.
  const small = upTo(MAX_PAYLOAD).map((n) => Buffer.of(n % 256));
  await owned.append(small);
  const { records } = await store.read(thread, { whole: true });
  expect(Buffer.concat(records.map((one) => one.bytes))).toEqual(
    Buffer.concat([...large, ...small]),
  );
  const { snapshot } = await store.read(thread);
  expect(Buffer.concat(snapshot!.parts)).toEqual(Buffer.concat(large));
});

test("and the table of what is under way, however much that is", async () => {
  const [first, second] = [await meshes.join(), await meshes.join()];
  const store = await host(first);
  const threads = upTo(300).map((n) => `${n} ${"x".repeat(400)}`);
  await inTurn(threads, async (thread) => {
    const owned = await own(store, thread);
    await owned.append([Buffer.of(1)], "busy");
  });
  const resumed: string[] = [];
  await host(second, resumed);
  await first.close(); // writes it
  const { streams } = await jetstreamManager(await meshes.nats());
  const table = `${meshes.name}.log.threads.0.=o.t`;
  const { state } = await streams.info(`${meshes.name}-journal`, { subjects_filter: table });
  expect(state.subjects![table]).toBeGreaterThan(1);
  await expect.poll(() => new Set(resumed).size).toBe(threads.length);
});
