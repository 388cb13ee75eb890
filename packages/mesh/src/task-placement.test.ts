import { agent } from "@plexus/core";
import { expect, test } from "vitest";
import { z } from "zod";
import { gate, upTo, useMeshes } from "../../../test/support/mesh.ts";

const meshes = useMeshes();

const Desk = agent("desk", {
  capabilities: {
    run: { input: z.number(), output: z.string(), durable: { ackWait: 500 } },
  },
});

/** Hosts the desk in a connection of its own; it answers with its name after so many ms. */
async function desk(name: string, ms: number, options = {}) {
  const mesh = await meshes.join({ name });
  const run = async (): Promise<string> => {
    await new Promise((resolve) => setTimeout(resolve, ms));
    return name;
  };
  return mesh.host(Desk, { run }, options);
}

function counts(names: readonly string[]): Record<string, number> {
  const count: Record<string, number> = {};
  for (const name of names) count[name] = (count[name] ?? 0) + 1;
  return count;
}

test("weighted round robin gives each instance its share", async () => {
  await Promise.all([desk("heavy", 1, { weight: 3 }), desk("light", 1, { weight: 1 })]);
  const client = await meshes.join();
  await client.waitFor(Desk, { instances: 2 });
  const options = { placement: "weightedRoundRobin" } as const;
  const tasks = await Promise.all(upTo(80).map((n) => client.submit(Desk, "run", n, options)));
  const names = await Promise.all(tasks.map((task) => task.result()));
  expect(counts(names)).toEqual({ heavy: 60, light: 20 });
});

test.each(["leastOutstanding", "peakEwma"] as const)(
  "%s spares the slow instance",
  async (placement) => {
    await Promise.all([desk("fast", 2), desk("slow", 2_000)]);
    const client = await meshes.join();
    await client.waitFor(Desk, { instances: 2 });
    const names: string[] = [];
    const lane = async (): Promise<void> => {
      for (const n of upTo(20)) {
        // One at a time.
        const task = await client.submit(Desk, "run", n, { placement });
        names.push(await task.result());
      }
    };
    await Promise.all(upTo(4).map(lane));
    expect(counts(names)["fast"]).toBeGreaterThan(3 * (counts(names)["slow"] ?? 0));
  },
);

test("consistent hashing sends a key to the instance that owns it", async () => {
  await Promise.all(upTo(3).map((n) => desk(`desk-${n}`, 0)));
  const [one, two] = [await meshes.join(), await meshes.join()];
  await Promise.all([one, two].map((mesh) => mesh.waitFor(Desk, { instances: 3 })));
  const placement = { strategy: "consistentHash", loadFactor: Infinity } as const;
  const owners = async (mesh: typeof one, keys: readonly string[]) => {
    const tasks = keys.map((key) => mesh.submit(Desk, "run", 0, { placement, key }));
    return Promise.all((await Promise.all(tasks)).map((task) => task.result()));
  };
  const keys = upTo(60).map((n) => `k${n}`);
  const names = await owners(one, keys);
  expect(new Set(names).size).toBe(3);
  expect(await owners(two, keys)).toEqual(names); // and executed once
});

test("what lies on the lane of an instance that leaves is executed by the others", async () => {
  const busy = gate();
  const leaving = await meshes.join({ name: "leaving" });
  const run = async (): Promise<string> => (await busy.opened, "leaving");
  const hosted = await leaving.host(Desk, { run }, { taskConcurrency: 2, drainTimeout: 50 });
  const client = await meshes.join();
  await client.waitFor(Desk);
  const tasks = await Promise.all(
    upTo(10).map((n) => client.submit(Desk, "run", n, { placement: "roundRobin" })),
  );
  await desk("staying", 0);
  await hosted.drain();
  expect(await Promise.all(tasks.map((task) => task.result()))).toEqual(
    upTo(10).map(() => "staying"),
  );
});

test("without any instance, and for what is due later, placing means pulling", async () => {
  const client = await meshes.join();
  const early = await client.submit(Desk, "run", 1, { placement: "peakEwma" });
  await desk("only", 0);
  await client.waitFor(Desk);
  const late = await client.submit(Desk, "run", 1, { placement: "peakEwma", delay: 100 });
  expect(await Promise.all([early.result(), late.result()])).toEqual(["only", "only"]);
  await expect(
    client.submit(Desk, "run", 1, { placement: "peakEwma", tenant: "acme" }),
  ).rejects.toMatchObject({ code: "INVALID_INPUT" });
});
