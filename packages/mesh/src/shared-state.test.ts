import { state } from "@plexus/core";
import { jetstreamManager } from "@nats-io/jetstream";
import { startBroker, startProxy } from "@plexus/testing";
import { expect, test } from "vitest";
import { z } from "zod";
import { inTurn, metric, silent, upTo, useMeshes } from "../../../test/support/mesh.ts";
import { connect } from "./mesh.ts";
import type { StateChange } from "./shared-state.ts";

const meshes = useMeshes();
const SLOW_MS = 60_000;

const Flags = state("flags", { schema: z.object({ on: z.boolean() }) });
const Counter = state("counter", { schema: z.number().int() });
const Marks = state("marks", { schema: z.string(), storage: "memory", ttl: "2s" });

test(
  "what one process sets, every other one reads, and hears of",
  { timeout: SLOW_MS },
  async () => {
    const [writer, reader] = [await meshes.join(), await meshes.join()];
    const [mine, theirs] = [writer.state(Flags), reader.state(Flags)];
    const heard: StateChange<{ on: boolean }>[] = [];
    const stop = await theirs.watch((change) => heard.push(change));
    expect(await theirs.get("dark")).toBeUndefined();
    const set = await mine.set("dark", { on: true });
    expect(set).toMatchObject({ key: "dark", value: { on: true }, by: writer.client });
    expect(await theirs.get("dark")).toEqual(set);
    expect(await theirs.get("dark", { consistency: "eventual" })).toEqual(set);
    await mine.set("a b.c>", { on: false });
    expect((await theirs.keys()).toSorted()).toEqual(["a b.c>", "dark"]);
    expect(await mine.remove("dark")).toBe(true);
    expect(await theirs.remove("dark")).toBe(false);
    expect(await theirs.get("dark")).toBeUndefined();
    expect(await theirs.keys()).toEqual(["a b.c>"]);
    await expect
      .poll(() => heard.map(({ key, value }) => [key, value?.on]))
      .toEqual([
        ["dark", true],
        ["a b.c>", false],
        ["dark", undefined],
      ]);
    stop();
  },
);

test(
  "compare-and-swap replaces what it names, and says what is there otherwise",
  { timeout: SLOW_MS },
  async () => {
    const [one, two] = [await meshes.join(), await meshes.join()];
    const [mine, theirs] = [one.state(Counter), two.state(Counter)];
    const first = await mine.compareAndSwap("n", 0, 1);
    await expect(theirs.compareAndSwap("n", 0, 5)).rejects.toMatchObject({
      code: "CONFLICT",
      details: { revision: first.revision, by: one.client },
    });
    const second = await theirs.compareAndSwap("n", first.revision, 2);
    await expect(mine.compareAndSwap("n", first.revision, 5)).rejects.toMatchObject({
      code: "CONFLICT",
      details: { revision: second.revision },
    });
    await mine.remove("n");
    await expect(theirs.compareAndSwap("n", second.revision, 5)).rejects.toMatchObject({
      code: "CONFLICT",
      details: { revision: 0 },
    });
    expect((await theirs.compareAndSwap("n", 0, 7)).value).toBe(7);
  },
);

test("updates of many processes at once all count, once each", { timeout: SLOW_MS }, async () => {
  const all = await Promise.all(upTo(4).map(() => meshes.join()));
  await Promise.all(
    all.map((mesh) =>
      inTurn(upTo(50), () => mesh.state(Counter).update("n", (n = 0) => n + 1, { timeout: "50s" })),
    ),
  );
  expect((await all[0]!.state(Counter).get("n"))?.value).toBe(200);
  const stored = all.map((mesh) =>
    metric(mesh, "plexus_state_writes_total", { outcome: "stored" }),
  );
  expect(await Promise.all(stored)).toEqual([50, 50, 50, 50]);
});

test("an update whose answer is lost counts once", { timeout: SLOW_MS }, async () => {
  await using proxy = await startProxy({ target: meshes.broker.url });
  const [steady, cut] = [await meshes.join(), await meshes.join({ servers: proxy.url })];
  const [mine, theirs] = [steady.state(Counter), cut.state(Counter)];
  await mine.set("n", 0);
  await theirs.get("n");
  await inTurn(upTo(5), async (round) => {
    await theirs.get("n");
    proxy.hold("toClient");
    const updated = theirs.update("n", (n = 0) => n + 1, { timeout: "50s" });
    // The broker has it, and others write on top of it; its writer knows nothing of that.
    await expect
      .poll(async () => (await mine.get("n"))!.value, { timeout: 20_000 })
      .toBe(round * 11 + 1);
    await inTurn(upTo(10), () => mine.update("n", (n = 0) => n + 1));
    await proxy.cut();
    await proxy.heal();
    await updated;
    expect((await mine.get("n"))!.value).toBe(round * 11 + 11);
  });
});

test(
  "an older fencing token is refused, whatever has been written or removed meanwhile",
  { timeout: SLOW_MS },
  async () => {
    const mesh = await meshes.join();
    const counter = mesh.state(Counter);
    await counter.set("n", 1, { fence: 7 });
    await counter.set("n", 2);
    await expect(counter.set("n", 3, { fence: 6 })).rejects.toMatchObject({
      code: "FENCED",
      details: { fence: 7, by: mesh.client },
    });
    await counter.remove("n", { fence: 9 });
    await expect(counter.compareAndSwap("n", 0, 3, { fence: 8 })).rejects.toMatchObject({
      code: "FENCED",
    });
    expect((await counter.compareAndSwap("n", 0, 3, { fence: 9 })).value).toBe(3);
  },
);

test(
  "values with a time to live go by themselves, for whoever reads or watches",
  { timeout: SLOW_MS },
  async () => {
    const [one, two] = [await meshes.join(), await meshes.join()];
    const [mine, theirs] = [one.state(Marks), two.state(Marks)];
    const heard: (string | undefined)[] = [];
    await theirs.watch(({ value }) => heard.push(value), { key: "short" });
    await mine.set("short", "gone soon");
    await mine.set("long", "stays", { ttl: "10m" });
    await expect.poll(() => heard, { timeout: 20_000 }).toEqual(["gone soon", undefined]);
    await expect.poll(() => theirs.keys(), { timeout: 20_000 }).toEqual(["long"]);
    expect((await mine.compareAndSwap("short", 0, "again")).value).toBe("again");
  },
);

test(
  "values on file survive the broker's death, those in memory do not, and both go on",
  { timeout: SLOW_MS },
  async () => {
    await using broker = await startBroker();
    await using mesh = await connect({ servers: broker.url, mesh: "m", http: false, log: silent });
    const [file, memory] = [mesh.state(Counter), mesh.state(Marks)];
    const written = await file.set("n", 1);
    await memory.set("m", "lost", { ttl: "10m" });
    await broker.restart({ signal: "SIGKILL", downMs: 200 });
    await expect.poll(() => mesh.connected, { timeout: 20_000 }).toBe(true);
    expect((await file.compareAndSwap("n", written.revision, 2)).value).toBe(2);
    await expect.poll(() => memory.get("m"), { timeout: 20_000 }).toBeUndefined();
    expect((await memory.set("m", "new")).value).toBe("new");
    expect((await memory.get("m"))!.value).toBe("new");
  },
);

test(
  "who was cut off reads, once back, what was written and removed meanwhile",
  { timeout: SLOW_MS },
  async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    const [writer, reader] = [await meshes.join(), await meshes.join({ servers: proxy.url })];
    const [mine, theirs] = [writer.state(Counter), reader.state(Counter)];
    await mine.set("changed", 1);
    await mine.set("gone", 1);
    const eventual = async (key: string): Promise<number | undefined> =>
      (await theirs.get(key, { consistency: "eventual" }))?.value;
    expect(await eventual("changed")).toBe(1);
    await proxy.cut();
    await mine.set("changed", 2);
    await mine.remove("gone");
    expect(await eventual("changed")).toBe(1);
    await expect(theirs.get("changed", { timeout: "300ms" })).rejects.toMatchObject({
      code: "TIMEOUT",
    });
    await proxy.heal();
    await expect.poll(() => eventual("changed"), { timeout: 20_000 }).toBe(2);
    await expect.poll(() => eventual("gone"), { timeout: 20_000 }).toBeUndefined();
  },
);

test(
  "a copy of a state too large for one answer is complete all the same",
  { timeout: SLOW_MS },
  async () => {
    const Notes = state("notes", { schema: z.string() });
    const [one, two] = [await meshes.join(), await meshes.join()];
    await Promise.all(
      upTo(1_300).map((n) =>
        one.state(Notes).set(`note ${n}`, "x".repeat(2_000), { timeout: "50s" }),
      ),
    );
    expect(await two.state(Notes).keys({ timeout: "30s" })).toHaveLength(1_300);
    expect((await two.state(Notes).get("note 1299"))!.value).toHaveLength(2_000);
  },
);

test(
  "what does not fit the contract is refused, by whoever writes and whoever reads",
  { timeout: SLOW_MS },
  async () => {
    const mesh = await meshes.join();
    const Texts = state("flags", { schema: z.string() });
    await expect(mesh.state(Flags).set("k", { on: 1 } as never)).rejects.toMatchObject({
      code: "INVALID_INPUT",
    });
    await expect(mesh.state(Flags).set("k", { on: true }, { ttl: "1s" })).rejects.toMatchObject({
      code: "INVALID_CONTRACT",
    });
    await mesh.state(Flags).set("k", { on: true });
    await expect(mesh.state(Texts).get("k")).rejects.toMatchObject({ code: "INVALID_OUTPUT" });
    expect(() => state("s", { schema: z.string(), ttl: "5s" })).toThrow("must be in memory");
    const Memory = state("flags", { schema: z.string(), storage: "memory" });
    const other = await meshes.join();
    await expect(other.state(Memory).get("k")).rejects.toMatchObject({ code: "INVALID_CONTRACT" });
    await expect(
      mesh.state(Flags).set("k", { on: false }, { signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({
      code: "CANCELED",
    });
  },
);

test("an update that throws has seen what is there now", { timeout: SLOW_MS }, async () => {
  const [one, two] = [await meshes.join(), await meshes.join()];
  const [mine, theirs] = [one.state(Counter), two.state(Counter)];
  await theirs.get("n", { consistency: "eventual" });
  const seen: (number | undefined)[] = [];
  await mine.set("n", 5);
  const refusing = theirs.update("n", (n) => {
    seen.push(n);
    throw new Error("not this one");
  });
  await expect(refusing).rejects.toThrow("not this one");
  expect(seen.at(-1)).toBe(5);
});

test(
  "what the broker does not tell is read all the same: at once by a strong read, soon for an eventual one",
  { timeout: SLOW_MS },
  async () => {
    const [one, two] = [await meshes.join(), await meshes.join()];
    const [mine, theirs] = [one.state(Counter), two.state(Counter)];
    await mine.set("n", 1);
    expect((await theirs.get("n"))!.value).toBe(1);
    const manager = await jetstreamManager(await meshes.nats());
    const name = `${meshes.name}-state-counter`;
    await manager.streams.update(name, { republish: null as never });
    await mine.set("n", 2);
    expect((await theirs.get("n"))!.value).toBe(2);
    await mine.set("n", 3);
    const eventual = async (): Promise<number> =>
      (await theirs.get("n", { consistency: "eventual" }))!.value;
    expect(await eventual()).toBe(2);
    await expect.poll(eventual, { timeout: 20_000 }).toBe(3);
  },
);

test("strong reads that come at once share two barriers", { timeout: SLOW_MS }, async () => {
  const mesh = await meshes.join();
  const counter = mesh.state(Counter);
  await counter.get("n");
  const before = await metric(mesh, "plexus_state_barriers_total");
  await Promise.all(upTo(1_000).map(() => counter.get("n", { timeout: "50s" })));
  expect(await metric(mesh, "plexus_state_barriers_total")).toBe(before + 2);
});
