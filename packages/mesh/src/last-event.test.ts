import { topic } from "@plexus/core";
import { expect, test } from "vitest";
import { z } from "zod";
import { inTurn, upTo, useMeshes } from "../../../test/support/mesh.ts";

const meshes = useMeshes();

const Tick = z.object({ symbol: z.string(), n: z.number() });
const Ticks = topic("ticks.{symbol}", { schema: Tick, durable: { partitions: 4 } });

test("the last stored event is found by any process, for all parameters or for some", async () => {
  const [publisher, other] = [await meshes.join(), await meshes.join()];
  await inTurn(upTo(5), (n) => publisher.publish(Ticks, { symbol: "A", n }, { id: `a-${n}` }));
  await publisher.publish(Ticks, { symbol: "B", n: 9 });
  expect(await other.lastEvent(Ticks)).toMatchObject({ value: { symbol: "B", n: 9 }, sequence: 6 });
  const last = await other.lastEvent(Ticks, { where: { symbol: "A" } });
  expect(last).toMatchObject({ value: { symbol: "A", n: 4 }, eventId: "a-4", sequence: 5 });
  expect(Math.abs(last!.storedAt - Date.now())).toBeLessThan(60_000);
});

test("a topic on which nothing was ever published has no last event", async () => {
  const mesh = await meshes.join();
  expect(await mesh.lastEvent(Ticks)).toBeUndefined();
  await mesh.publish(Ticks, { symbol: "A", n: 1 });
  expect(await mesh.lastEvent(Ticks, { where: { symbol: "C" } })).toBeUndefined();
});

test("it is what the broker had stored before it was killed", async () => {
  const mesh = await meshes.join();
  await inTurn(upTo(3), (n) => mesh.publish(Ticks, { symbol: "A", n }));
  await meshes.broker.restart({ signal: "SIGKILL" });
  expect((await mesh.lastEvent(Ticks))?.value).toEqual({ symbol: "A", n: 2 });
});

test("a topic that is not durable has none: that is an error, not an absence", async () => {
  const mesh = await meshes.join();
  const Fleeting = topic("fleeting", { schema: z.number() });
  await expect(mesh.lastEvent(Fleeting)).rejects.toMatchObject({ code: "INVALID_CONTRACT" });
});
