import { expect, test } from "vitest";
import { gate, upTo, useMeshes } from "../support/mesh.ts";
import { plexus } from "../support/cli.ts";
import { Porter } from "./agents/contracts.ts";

const meshes = useMeshes();

test("plexus balancer shows what is placed where", async () => {
  const [host, client] = [await meshes.join({ name: "desk" }), await meshes.join()];
  const end = gate();
  const carry = async (): Promise<number> => (await end.opened, 1);
  await host.host(Porter, { carry, poison: () => 0 }, { taskConcurrency: 1 });
  await client.waitFor(Porter);
  const options = { placement: "peakEwma" } as const;
  const tasks = await Promise.all(upTo(3).map(() => client.submit(Porter, "carry", 0, options)));
  await expect
    .poll(async () => (await client.balance(Porter)).instances[0]?.tasks?.running)
    .toBe(1);
  const env = { PLEXUS_SERVERS: meshes.broker.url, PLEXUS_MESH: meshes.name };
  const table = await plexus(["balancer"], { env });
  expect(table).toMatchObject({ code: 0, stderr: "" });
  expect(table.stdout).toMatch(/^AGENT +INSTANCE +WEIGHT +CALLS +QUEUED +TASKS +PLACED/);
  expect(table.stdout).toMatch(/porter +desk-\S+ +1 +0\/128 +0 +1\/1 +2/);
  const { stdout } = await plexus(["balancer", "porter", "--json"], { env });
  expect(JSON.parse(stdout)).toMatchObject({ instances: [{ agent: "porter", placed: 2 }] });
  expect(await plexus(["balancer", "nobody"], { env })).toMatchObject({ code: 3 });
  end.open();
  await Promise.all(tasks.map((task) => task.result()));
}, 60_000);
