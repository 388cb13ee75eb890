import { MeshError, agent, type PlacementSpec } from "@plexus/core";
import { expect, test } from "vitest";
import { z } from "zod";
import { inTurn, upTo, useMeshes } from "../../../test/support/mesh.ts";
import type { HostOptions } from "./host.ts";

const meshes = useMeshes();

const Any = { input: z.unknown(), output: z.string() };
const Worker = agent("worker", { capabilities: { run: Any } });

/** Instances with these options, the first of them slow; calls answer with the number of the instance. */
async function fleet(options: HostOptions[], slowMs = 0) {
  const hosts = await Promise.all(options.map(() => meshes.join()));
  const instances = await Promise.all(
    hosts.map(async (host, i) => {
      const delayMs = i === 0 ? slowMs : slowMs / 10;
      const run = async (): Promise<string> => {
        if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
        return String(i);
      };
      return host.host(Worker, { run }, options[i]);
    }),
  );
  const caller = await meshes.join();
  await caller.waitFor(Worker, { instances: options.length });
  return { caller, instances };
}

function counts(answers: string[]): Record<string, number> {
  const found: Record<string, number> = {};
  for (const answer of answers) found[answer] = (found[answer] ?? 0) + 1;
  return found;
}

async function spread(options: HostOptions[], placement: PlacementSpec, calls: number) {
  const { caller } = await fleet(options);
  const worker = caller.get(Worker, { placement });
  return counts(await Promise.all(Array.from({ length: calls }, () => worker.run(0))));
}

test("roundRobin takes turns exactly", async () => {
  expect(await spread([{}, {}, {}], "roundRobin", 300)).toEqual({ 0: 100, 1: 100, 2: 100 });
});

test("weightedRoundRobin gives each instance its share exactly", async () => {
  const weights = [{ weight: 1 }, { weight: 2 }, { weight: 5 }];
  expect(await spread(weights, "weightedRoundRobin", 800)).toEqual({ 0: 100, 1: 200, 2: 500 });
});

test("leastOutstanding spreads equal instances evenly, and is the default", async () => {
  const { caller } = await fleet([{}, {}, {}, {}]);
  const worker = caller.get(Worker);
  const answers = await Promise.all(Array.from({ length: 400 }, () => worker.run(0)));
  for (const count of Object.values(counts(answers))) expect(count).toBeGreaterThan(60);
});

test("leastOutstanding loads an instance by its weight", async () => {
  const found = await spread([{ weight: 1 }, { weight: 4 }], "leastOutstanding", 500);
  expect(found[1]! / found[0]!).toBeGreaterThan(2.5);
});

test.each(["leastOutstanding", "peakEwma"] as const)(
  "%s avoids the slow instance",
  async (name) => {
    const { caller } = await fleet([{}, {}, {}], 100);
    const worker = caller.get(Worker, { placement: name });
    const answers: string[] = [];
    const lane = async (): Promise<void> => {
      await inTurn(upTo(12), async () => answers.push(await worker.run(0)));
    };
    await Promise.all(Array.from({ length: 8 }, lane));
    const found = counts(answers);
    expect(found[0] ?? 0).toBeLessThan((found[1]! + found[2]!) / 4);
  },
);

test("consistentHash sends equal keys to one instance, whoever calls", async () => {
  const { caller } = await fleet([{}, {}, {}, {}]);
  const other = await meshes.join();
  const spec = { strategy: "consistentHash", loadFactor: Infinity } as const;
  const [one, two] = [caller, other].map((mesh) => mesh.get(Worker, { placement: spec }));
  const keys = Array.from({ length: 60 }, (_, i) => `key ${i}.*>`);
  const first = await Promise.all(keys.map((key) => one!.run(0, { key })));
  const second = await Promise.all(keys.map((key) => two!.run(0, { key })));
  expect(second).toEqual(first);
  expect(Object.keys(counts(first))).toHaveLength(4);
});

test("consistentHash moves only the keys of the instance that leaves", async () => {
  const { caller, instances } = await fleet([{}, {}, {}, {}]);
  const placement = { strategy: "consistentHash", loadFactor: Infinity } as const;
  const worker = caller.get(Worker, { placement });
  const keys = Array.from({ length: 60 }, (_, i) => `key ${i}`);
  const owners = () => Promise.all(keys.map((key) => worker.run(0, { key })));
  const before = await owners();
  await instances[3]!.drain();
  await expect.poll(() => caller.agents(Worker).length).toBe(3);
  const after = await owners();
  const staying = upTo(keys.length).filter((i) => before[i] !== "3");
  expect(staying.map((i) => after[i])).toEqual(staying.map((i) => before[i]));
  expect(after).not.toContain("3");
});

test("consistentHash with a bound lets a hot key spill over", async () => {
  const { caller } = await fleet([{}, {}, {}, {}]);
  const worker = caller.get(Worker, { placement: "consistentHash" });
  const calls = Array.from({ length: 200 }, () => worker.run(0, { key: "hot" }));
  expect(Object.keys(counts(await Promise.all(calls)))).toHaveLength(4);
});

test("consistentHash without a key, and a strategy that does not exist, are refused", async () => {
  const { caller } = await fleet([{}]);
  const invalid = { code: "INVALID_CONTRACT" };
  const hashed = caller.get(Worker, { placement: "consistentHash" });
  await expect(hashed.run(0)).rejects.toMatchObject(invalid);
  expect(() => caller.get(Worker, { placement: "random" as never })).toThrow(MeshError);
});

test("an instance that joins takes its share at once, and one that leaves gets nothing more", async () => {
  const { caller, instances } = await fleet([{}, {}]);
  const worker = caller.get(Worker, { placement: "roundRobin" });
  await instances[0]!.drain();
  await expect.poll(() => caller.agents(Worker).length).toBe(1);
  const alone = await Promise.all(Array.from({ length: 50 }, () => worker.run(0)));
  expect(counts(alone)).toEqual({ 1: 50 });
  const newcomer = await meshes.join();
  await newcomer.host(Worker, { run: () => "new" });
  await caller.waitFor(Worker, { instances: 2 });
  const both = await Promise.all(Array.from({ length: 50 }, () => worker.run(0)));
  expect(counts(both)).toEqual({ 1: 25, new: 25 });
});
