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
  await publish(1, 100, 1);
  await subscriber.waitForLine("got 100");
  await subscriber.pause();
  await publish(101, 599, 64 * 1024); // 38 MB: more than the broker and the sockets in between can hold
  const dropped = async () => {
    const response = await fetch(`${meshes.broker.monitorUrl}/varz`);
    return ((await response.json()) as { slow_consumers: number }).slow_consumers;
  };
  await expect.poll(dropped).toBeGreaterThan(0);
  subscriber.resume();
  let total = 699;
  let back = false;
  void subscriber.waitForLine(/^got 7/, 15_000).then(() => (back = true));
  const isBack = async () => {
    await publish(++total, 1, 1);
    return back;
  };
  await expect.poll(isBack, { timeout: 15_000, interval: 50 }).toBe(true);
  await publish(++total, 1, 1);
  await subscriber.waitForLine(`got ${total}`);
  await subscriber.kill("SIGTERM");
  const line = await subscriber.waitForLine("received");
  const { received, lost } = JSON.parse(line) as { received: number; lost: number };
  expect(lost).toBeGreaterThan(0);
  expect(received + lost).toBe(total);
  await expect.poll(() => others.received + others.lost).toBe(total); // its slowness is not theirs
});
