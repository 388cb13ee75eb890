import { agent, journal, topic } from "@plexus/core";
import { jetstreamManager } from "@nats-io/jetstream";
import { expect, test } from "vitest";
import { z } from "zod";
import { useMeshes } from "../../../../test/support/mesh.ts";
import { eraseMesh } from "./erase-mesh.ts";

const meshes = useMeshes();

const Numbers = topic("numbers", { schema: z.number(), durable: true });
const Steps = journal("steps", { events: { made: z.number() } });
const Desk = agent("desk", {
  capabilities: { settle: { input: z.number(), output: z.number(), durable: true } },
});

test("a mesh that is erased leaves nothing at the broker, and its neighbours all they have", async () => {
  const mine = await meshes.join();
  const neighbour = await meshes.join({ mesh: `${meshes.name}-b` });
  for (const mesh of [mine, neighbour]) {
    await mesh.publish(Numbers, 1);
    await mesh.submit(Desk, "settle", 1);
    await mesh.lease("one");
    await mesh.journal(Steps).append("a", { type: "made", data: 1 });
    await mesh.project(Steps, { name: "none", store: "bucket", initial: 0, on: {} });
  }
  const manager = await jetstreamManager(await meshes.nats());
  const foreign = { name: `${meshes.name}-copy`, subjects: ["elsewhere", `${meshes.name}.x`] };
  await manager.streams.add(foreign);
  const streams = async (): Promise<string[]> => {
    const names: string[] = [];
    for await (const { config } of manager.streams.list()) names.push(config.name);
    return names.toSorted();
  };
  const before = await streams();
  await mine.close();

  const erased = await eraseMesh(meshes.name, { servers: [meshes.broker.url], timeoutMs: 5_000 });

  const left = await streams();
  expect(left).toEqual(
    before.filter((name) => name.includes(`${meshes.name}-b-`) || name === foreign.name),
  );
  expect(erased).toBe(before.length - left.length);
  expect(erased).toBeGreaterThan(5);
  expect((await neighbour.lastEvent(Numbers))?.value).toBe(1);
});
