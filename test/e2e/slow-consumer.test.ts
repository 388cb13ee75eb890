import { expect, test } from "vitest";
import { inTurn, upTo, useMeshes } from "../support/mesh.ts";
import { startAgent } from "../support/workers.ts";
import { Blocks } from "./agents/contracts.ts";

// The broker gives up on a client for which it would have to keep more than this.
const meshes = useMeshes({ config: { max_pending: 4 * 1024 * 1024 } });

test("a subscriber that the broker drops for being slow comes back and counts what it missed", async () => {
  await using subscriber = startAgent(meshes, "subscriber");
  await subscriber.waitForLine("ready");
  const mesh = await meshes.join();
  const bystander = await meshes.join();
  const others = await bystander.subscribe(Blocks, () => undefined);
  const publish = (from: number, count: number, size: number) =>
    inTurn(upTo(count), (i) => mesh.publish(Blocks, { n: from + i, bytes: new Uint8Array(size) }));
  await publish(1, 100, 10);
  await subscriber.waitForLine("got 100");
  await subscriber.pause();
  await publish(101, 599, 64 * 1024); // 38 MB: more than the broker and the sockets in between can hold
  const dropped = async () => {
    const response = await fetch(`${meshes.broker.monitorUrl}/varz`);
    return ((await response.json()) as { slow_consumers: number }).slow_consumers;
  };
  await expect.poll(dropped).toBeGreaterThan(0);
  subscriber.resume();
  const connections = async () => {
    const response = await fetch(`${meshes.broker.monitorUrl}/connz?subs=1`);
    const { connections: list } = (await response.json()) as {
      connections: { name?: string; subscriptions_list?: string[] }[];
    };
    return list.some(
      ({ name, subscriptions_list: subjects }) =>
        name?.startsWith("subscriber") && subjects?.includes(`${meshes.name}.evt.blocks`),
    );
  };
  await expect.poll(connections, { timeout: 10_000 }).toBe(true);
  await publish(700, 1, 10);
  await subscriber.waitForLine("got 700");
  await subscriber.kill("SIGTERM");
  const result = JSON.parse(await subscriber.waitForLine("received")) as Record<string, number>;
  expect(result["last"]).toBe(700);
  expect(result["lost"]).toBeGreaterThan(0);
  expect(result["received"]! + result["lost"]!).toBe(700);
  await expect.poll(() => others.received).toBe(700); // nobody else has lost anything
  expect(others.lost).toBe(0);
});
