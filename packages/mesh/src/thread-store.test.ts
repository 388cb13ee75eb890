import { setTimeout as sleep } from "node:timers/promises";
import {
  encodePayload,
  entity,
  isMeshError,
  partitionOf,
  type Checkpointer,
  type OwnedThread,
  type ThreadKeeper,
} from "@plexus/core";
import { startProxy, type Proxy } from "@plexus/testing";
import { expect, test } from "vitest";
import { z } from "zod";
import { describeCheckpointer } from "../../../test/support/checkpointer-suite.ts";
import { inTurn, upTo, useMeshes } from "../../../test/support/mesh.ts";
import type { Mesh } from "./mesh.ts";

const meshes = useMeshes();

const Threads = entity("threads", {
  partitions: 4,
  lease: "1s",
  state: z.null(),
  initial: null,
  events: {},
  fold: {},
  commands: { stop: { input: z.unknown(), output: z.unknown() } },
});

/** Does nothing of its own: the test executes the threads. */
const keeper = (resumed: string[] = []): ThreadKeeper => ({
  handlers: {},
  resume: async (thread) => void resumed.push(thread),
  leave: async () => {},
});

async function host(mesh: Mesh, resumed?: string[]): Promise<Checkpointer> {
  let store: Checkpointer | undefined;
  await mesh.hostThreads(Threads, (one) => {
    store = one;
    return keeper(resumed);
  });
  return store!;
}

/** Owns a thread as soon as one of the hosts owns its partition. */
async function ownSurely(stores: readonly Checkpointer[], thread: string): Promise<OwnedThread> {
  for (;;) {
    for (const store of stores) {
      try {
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        return await store.own(thread);
      } catch (error) {
        if (!isMeshError(error, "FENCED")) throw error;
      }
    }
    // oxlint-disable-next-line no-await-in-loop
    await sleep(20);
  }
}

/** The threads of a mesh, from the point of view of whichever process owns them. */
class MeshCheckpointer implements Checkpointer {
  #stores: Checkpointer[] = [];
  readonly #first: Promise<Proxy>;

  constructor() {
    this.#first = this.#open();
  }

  async own(thread: string, options: { signal?: AbortSignal } = {}): Promise<OwnedThread> {
    options.signal?.throwIfAborted();
    await this.#first;
    return ownSurely(this.#stores, thread);
  }

  async read(...args: Parameters<Checkpointer["read"]>) {
    await this.#first;
    return this.#stores.at(-1)!.read(...args);
  }

  async *list() {
    await this.#first;
    yield* this.#stores.at(-1)!.list();
  }

  /** Cuts the owner off; another process takes its threads over. */
  async expire(): Promise<void> {
    const proxy = await this.#first;
    this.#stores = [await host(await meshes.join())];
    proxy.hold();
  }

  async #open(): Promise<Proxy> {
    const proxy = await startProxy({ target: meshes.broker.url });
    this.#stores.push(await host(await meshes.join({ servers: proxy.url })));
    return proxy;
  }
}

describeCheckpointer(
  "the checkpointer of a mesh",
  () => new MeshCheckpointer(),
  (checkpointer) => (checkpointer as MeshCheckpointer).expire(),
);

const bytes = (text: string): Uint8Array => Buffer.from(text);
const textOf = (parts: readonly Uint8Array[]): string => Buffer.concat(parts).toString();

test("records and snapshots that do not fit into one message are stored whole", async () => {
  const store = await host(await meshes.join());
  await using owned = await ownSurely([store], "large");
  const large = upTo(5).map((n) => Buffer.alloc(512 * 1024, n));
  await owned.append(large, "busy");
  expect(owned.position).toBe(5);
  await owned.snapshot(3, large.slice(0, 4));
  await owned.append([bytes("more")]);
  const reader = (await meshes.join()).threads(Threads);
  const stored = await reader.read("large");
  expect(stored.snapshot?.position).toBe(3);
  expect(Buffer.concat(stored.snapshot!.parts)).toEqual(Buffer.concat(large.slice(0, 4)));
  expect(stored.records.map(({ position }) => position)).toEqual([4, 5, 6]);
  const all = await reader.read("large", { whole: true });
  expect(Buffer.concat(all.records.slice(0, 5).map((one) => one.bytes))).toEqual(
    Buffer.concat(large),
  );
});

test("what was stored in part does not count, and is written anew by the next owner", async () => {
  const store = await host(await meshes.join());
  const subject = `${meshes.name}.log.threads.${partitionOf("torn", 4)}.torn`;
  {
    await using owned = await ownSurely([store], "torn");
    await owned.append([bytes("one")]);
    await owned.snapshot(1, [bytes("first")]);
  }
  const nats = await meshes.nats();
  // What an owner leaves that dies between two messages.
  await nats.request(subject, encodePayload([1, "torn", 1, 0, 0, 2, [bytes("half")]]));
  const before = await store.read("torn", { whole: true });
  expect(before.records.map((one) => textOf([one.bytes]))).toEqual(["one"]);
  await using owned = await ownSurely([store], "torn");
  expect(owned.position).toBe(1);
  await owned.append([bytes("two"), bytes("three")]);
  const after = await store.read("torn", { whole: true });
  expect(after.records.map((one) => `${one.position} ${textOf([one.bytes])}`)).toEqual([
    "1 one",
    "2 two",
    "3 three",
  ]);
});

test("the next owner resumes what was busy, and nothing else, however it was left", async () => {
  const [first, second] = [await meshes.join(), await meshes.join()];
  const store = await host(first);
  const states = { busy: "busy", waiting: "waiting", over: "over" } as const;
  await inTurn(upTo(300), async (n) => {
    await inTurn(Object.entries(states), async ([name, state]) => {
      const owned = await ownSurely([store], `${name}-${n}`);
      await owned.append([bytes("a"), bytes("b")], "busy");
      await owned.append([bytes("c")], state);
      await owned[Symbol.asyncDispose]();
    });
  });
  const resumed: string[] = [];
  await host(second, resumed);
  await first.close();
  const expected = upTo(300).map((n) => `busy-${n}`);
  await expect.poll(() => [...new Set(resumed)].toSorted()).toEqual(expected.toSorted());
  const found: Record<string, number> = {};
  for await (const { state, position } of second.threads(Threads).summaries()) {
    const name = typeof state === "string" ? state : "asleep";
    found[name] = (found[name] ?? 0) + 1;
    expect(position).toBe(3);
  }
  expect(found).toEqual({ busy: 300, waiting: 300, over: 300 });
}, 120_000);

test("an owner behind whose back somebody has raised the fence writes nothing more, and opens anew", async () => {
  const store = await host(await meshes.join());
  const nats = await meshes.nats();
  const dead = await ownSurely([store], "t");
  await dead.append([bytes("a")]);
  await nats.request(`${meshes.name}.log.threads.${partitionOf("t", 4)}.=e`, "not even readable");
  await expect(dead.append([bytes("late")])).rejects.toMatchObject({ code: "FENCED" });
  expect(dead.signal.aborted).toBe(true);
  await using alive = await ownSurely([store], "t");
  expect(alive.position).toBe(1);
});

test("a thread that sleeps is resumed when its time has come, by its owner or the next one", async () => {
  const [first, second] = [await meshes.join(), await meshes.join()];
  const resumed: string[] = [];
  const store = await host(first, resumed);
  const leave = async (thread: string, sleepMs: number): Promise<void> => {
    const owned = await ownSurely([store], thread);
    await owned.append([bytes("a")], { until: Date.now() + sleepMs });
    await owned[Symbol.asyncDispose]();
  };
  await leave("short", 500);
  await expect.poll(() => resumed).toEqual(["short"]);
  await leave("long", 4_000);
  await leave("longer", 3_600_000);
  const later: string[] = [];
  await host(second, later);
  await first.close();
  await expect.poll(() => [...resumed, ...later].includes("long")).toBe(true);
  expect([...resumed, ...later]).not.toContain("longer");
});

test("a thread that its owner cannot go on with is tried again", async () => {
  const mesh = await meshes.join();
  let tries = 0;
  let store: Checkpointer | undefined;
  const resume = async (): Promise<void> => {
    if (++tries < 2) throw new Error("not now");
  };
  await mesh.hostThreads(Threads, (one) => {
    store = one;
    return { ...keeper(), resume };
  });
  const owned = await ownSurely([store!], "t");
  await owned.append([bytes("a")], { until: Date.now() });
  await owned[Symbol.asyncDispose]();
  await expect.poll(() => tries, { timeout: 30_000 }).toBe(2);
});
