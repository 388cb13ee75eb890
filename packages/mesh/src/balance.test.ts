import { agent } from "@plexus/core";
import { expect, test } from "vitest";
import { z } from "zod";
import { gate, upTo, useMeshes } from "../../../test/support/mesh.ts";

const meshes = useMeshes();

const Desk = agent("desk", {
  capabilities: { run: { input: z.number(), output: z.number(), durable: true } },
});
const Plain = agent("plain", {
  capabilities: { call: { input: z.unknown(), output: z.unknown() } },
});

test("tells what every instance has to do, and what waits for any of them", async () => {
  const [host, client] = [await meshes.join(), await meshes.join()];
  const end = gate();
  const run = async (n: number): Promise<number> => (await end.opened, n);
  const { info } = await host.host(
    Desk,
    { run },
    { taskConcurrency: 2, concurrency: 7, weight: 3 },
  );
  await host.host(Plain, { call: () => 0 });
  await client.waitFor(Desk);
  const options = { placement: "roundRobin" } as const;
  const placed = await Promise.all(upTo(4).map((n) => client.submit(Desk, "run", n, options)));
  const own = async (): Promise<unknown> => (await client.balance(Desk)).instances[0]?.tasks;
  await expect.poll(own).toEqual({ running: 2, slots: 2 });
  const shared = await client.submit(Desk, "run", 9, { tenant: "acme", priority: "low" });
  await expect
    .poll(() => client.balance(Desk))
    .toEqual({
      instances: [
        {
          agent: "desk",
          instance: info.instance,
          weight: 3,
          calls: { running: 0, queued: 0, slots: 7 },
          tasks: { running: 2, slots: 2 },
          placed: 2,
          draining: false,
        },
      ],
      lanes: [
        {
          agent: "desk",
          capability: "run",
          priority: "low",
          tenant: "acme",
          waiting: 1,
          working: 0,
        },
      ],
    });
  const all = await client.balance();
  expect(all.instances.find((load) => load.agent === "plain")?.tasks).toBeUndefined();
  end.open();
  await Promise.all([...placed, shared].map((task) => task.result()));
  // The newest acknowledgement is kept back for a moment, and a poll that crosses with the last slot is given back in one.
  await expect.poll(async () => (await client.balance()).lanes).toEqual([]);
});

test("a mesh without tasks has no lanes", async () => {
  const host = await meshes.join();
  await host.host(Plain, { call: () => 0 });
  expect(await host.balance()).toMatchObject({ instances: [{ agent: "plain" }], lanes: [] });
});
