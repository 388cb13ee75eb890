import { setTimeout as sleep } from "node:timers/promises";
import { jetstreamManager } from "@nats-io/jetstream";
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
import { gate, inTurn, upTo, useMeshes } from "../../../test/support/mesh.ts";
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
        return await store.own(thread);
      } catch (error) {
        if (!isMeshError(error, "FENCED")) throw error;
      }
    }
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

test("a thread is read without passing over what others have recorded meanwhile", async () => {
  const store = await host(await meshes.join());
  const [early, other] = await Promise.all(
    ["early", "other"].map((one) => ownSurely([store], one)),
  );
  await early!.append([bytes("a")]);
  await inTurn(upTo(50), (n) => other!.append([bytes(String(n))]));
  await early!.append([bytes("b"), bytes("c")]);
  const asked: string[] = [];
  const nats = await meshes.nats();
  nats.subscribe(`$JS.API.DIRECT.GET.${meshes.name}-journal`, {
    callback: (_error, message) => void asked.push(message.string()),
  });
  await nats.flush();
  const { records } = await store.read("early");
  await nats.flush();
  expect(records.map((one) => textOf([one.bytes]))).toEqual(["a", "b", "c"]);
  expect(asked.length).toBeGreaterThan(0);
  expect(asked.filter((query) => query.includes("next_by_subj"))).toEqual([]);
  await Promise.all([early, other].map((one) => one![Symbol.asyncDispose]()));
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

test("owners that die one after the other do not all read the same: the first one to take over writes down what is under way", async () => {
  const nats = await meshes.nats();
  const { streams } = await jetstreamManager(nats);
  const table = async (): Promise<number> => {
    const subject = `${meshes.name}.log.threads.${partitionOf("t-0", 4)}.=o.t`;
    const found = await streams.getMessage(`${meshes.name}-journal`, { last_by_subj: subject });
    return found?.seq ?? 0;
  };
  const proxies = await Promise.all(upTo(2).map(() => startProxy({ target: meshes.broker.url })));
  const [first, second] = proxies.map(async ({ url }) => meshes.join({ servers: url }));
  const store = await host(await first!);
  const threads = upTo(1_000)
    .map((n) => `t-${n}`)
    .filter((thread) => partitionOf(thread, 4) === partitionOf("t-0", 4))
    .slice(0, 90);
  await inTurn(threads, async (thread) => {
    const owned = await ownSurely([store], thread);
    await inTurn(upTo(11), () => owned.append([bytes("a")], "busy"));
  });
  const before = await table();
  const resumed: string[][] = [[], []];
  await host(await second!, resumed[0]);
  proxies[0]!.hold();
  await expect.poll(() => new Set(resumed[0]).size).toBe(threads.length);
  await expect.poll(table).toBeGreaterThan(before);
  await host(await meshes.join(), resumed[1]);
  proxies[1]!.hold();
  await expect.poll(() => [...new Set(resumed[1])].toSorted()).toEqual(threads.toSorted());
  await Promise.all(proxies.map((proxy) => proxy[Symbol.asyncDispose]()));
}, 120_000);

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
  await expect.poll(() => resumed).toContain("short");
  await leave("long", 4_000);
  await leave("longer", 3_600_000);
  const later: string[] = [];
  await host(second, later);
  await first.close();
  await expect.poll(() => [...resumed, ...later].includes("long")).toBe(true);
  expect([...resumed, ...later]).not.toContain("longer");
});

test("a thread that is woken before its time by the clock of the graph is woken again", async () => {
  const resumed: string[] = [];
  const store = await host(await meshes.join(), resumed);
  const owned = await ownSurely([store], "t");
  await owned.append([bytes("a")], { until: Date.now() });
  await owned[Symbol.asyncDispose]();
  await expect.poll(() => resumed.length).toBeGreaterThan(2);
});

test("a thread that nobody can go on with is tried again, and less and less often", async () => {
  const mesh = await meshes.join();
  const tries: Record<string, number[]> = { asleep: [], busy: [] };
  let store: Checkpointer | undefined;
  const resume = async (thread: string): Promise<void> => {
    if (tries[thread]!.push(performance.now()) < 2) throw new Error("not now");
  };
  await mesh.hostThreads(Threads, (one) => {
    store = one;
    return { ...keeper(), resume };
  });
  const begun = performance.now();
  await inTurn(["asleep", "busy"], async (thread) => {
    const owned = await ownSurely([store!], thread);
    await owned.append([bytes("a")], thread === "busy" ? "busy" : { until: Date.now() });
    await owned[Symbol.asyncDispose]();
  });
  const pauses = (thread: string): number[] =>
    tries[thread]!.map((at, n) => Math.floor((at - (tries[thread]![n - 1] ?? begun)) / 1_000));
  await expect.poll(() => tries["busy"]!.length, { timeout: 60_000 }).toBe(2);
  expect(pauses("asleep")[1]).toBeGreaterThanOrEqual(9);
  expect(pauses("busy")[0]).toBeGreaterThanOrEqual(9);
  expect(pauses("busy")[1]).toBeGreaterThanOrEqual(19);
}, 90_000);

test("an owner that gives a thread back while it writes is followed by one that begins behind that", async () => {
  const store = await host(await meshes.join());
  let owned = await ownSurely([store], "t");
  const large = upTo(3).map((n) => Buffer.alloc(512 * 1024, n));
  await inTurn(upTo(5), async (n) => {
    const written = owned.append(large);
    void owned[Symbol.asyncDispose]();
    const next = await store.own("t");
    expect(next.position).toBe(4 * n + 3);
    await written;
    await expect(owned.append([bytes("late")])).rejects.toMatchObject({ code: "FENCED" });
    await expect(owned.snapshot(1, [bytes("late")])).rejects.toMatchObject({ code: "FENCED" });
    await next.append([bytes("small")]);
    owned = next;
  });
  const { records } = await store.read("t", { whole: true });
  expect(records.map(({ position }) => position)).toEqual(upTo(20).map((n) => n + 1));
});

test("threads that are to be gone on with are begun some at a time, and do not wait for each other's ends", async () => {
  const [first, second] = [await meshes.join(), await meshes.join()];
  const store = await host(first);
  const partition = partitionOf("t-0", 4);
  const threads = upTo(2_000)
    .map((n) => `t-${n}`)
    .filter((thread) => partitionOf(thread, 4) === partition)
    .slice(0, 200);
  await inTurn(threads, async (thread) => {
    const owned = await ownSurely([store], thread);
    await owned.append([bytes("a")], "busy");
  });
  const begun: number[] = [];
  const end = gate();
  await second.hostThreads(Threads, () => ({
    ...keeper(),
    resume: () => {
      begun.push(performance.now());
      return end.opened;
    },
  }));
  await first.close();
  await expect.poll(() => begun.length).toBe(threads.length);
  expect(begun[64]! - begun[0]!).toBeGreaterThan(900);
  expect(begun[192]! - begun[0]!).toBeGreaterThan(2_700);
  end.open();
});

test("a thread whose records somebody deletes while it is read cannot be read, and has none from then on", async () => {
  const store = await host(await meshes.join());
  const owned = await ownSurely([store], "t");
  await owned.append([bytes("a")]);
  await owned.append([bytes("b")], "waiting");
  await owned[Symbol.asyncDispose]();
  const again = await store.own("t"); // knows where the thread ends
  const { streams } = await jetstreamManager(await meshes.nats());
  const filter = `${meshes.name}.log.threads.${partitionOf("t", 4)}.t`;
  await streams.purge(`${meshes.name}-journal`, { filter });
  await expect(store.read("t")).rejects.toMatchObject({ code: "BAD_MESSAGE" });
  await again[Symbol.asyncDispose]();
  expect(await store.read("t")).toEqual({ snapshot: undefined, records: [] });
});
