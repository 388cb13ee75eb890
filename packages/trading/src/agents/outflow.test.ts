import { topic } from "@plexus/core";
import type { Mesh } from "@plexus/mesh";
import { expect, test } from "vitest";
import * as z from "zod";
import { upTo, useMeshes } from "../../../../test/support/mesh.ts";
import { follow } from "./follow.ts";
import { Inflow } from "./inflow.ts";
import { Outflow } from "./outflow.ts";
import { Station } from "./station.ts";

const meshes = useMeshes();

const Steps = topic("steps.{lane}", {
  schema: z.object({ kind: z.literal("step"), lane: z.string(), number: z.int() }),
  durable: true,
});

function stationOn(mesh: Mesh, failed: (error: unknown) => void = () => undefined): Station {
  const options = { before: undefined, announce: () => undefined, failed };
  return new Station(mesh, { role: "technical", index: 0, of: 1 }, options);
}

async function publish(mesh: Mesh, lane: string, count: number): Promise<boolean[]> {
  const outflow = await Outflow.open(stationOn(mesh), Steps, { lane });
  const behind: boolean[] = [];
  for (let step = 0; step < count; step += 1) {
    behind.push(outflow.isBehind);
    void outflow.publish((number) => ({ kind: "step", lane, number }));
  }
  await outflow.settled();
  return behind;
}

async function numbersOf(mesh: Mesh, lane: string): Promise<number[]> {
  const numbers: number[] = [];
  const read = (step: { number: number }): unknown => numbers.push(step.number);
  await using replay = await mesh.subscribe(Steps, read, { from: "all", where: { lane } });
  await replay.caughtUp;
  return numbers;
}

function throwing({ number }: { number: number }): Promise<void> | undefined {
  if (number === 0) throw new Error("at once");
  return undefined;
}

function rejecting(): Promise<void> {
  return Promise.reject(new Error("later"));
}

test("who begins anew falls silent for what is stored and publishes the rest", async () => {
  const [first, second] = [await meshes.join(), await meshes.join()];
  expect(await publish(first, "a", 3)).toEqual([false, false, false]);
  expect(await publish(first, "b", 1)).toEqual([false]);
  expect(await publish(second, "a", 5)).toEqual([true, true, true, false, false]);
  expect(await numbersOf(second, "a")).toEqual(upTo(5));
  expect(await numbersOf(second, "b")).toEqual([0]);
});

test("what a killed predecessor still had under way is stored once", async () => {
  const [first, second] = [await meshes.join(), await meshes.join()];
  const both = [first, second].map((mesh) => publish(mesh, "a", 300)); // neither sees the other's
  await Promise.all(both);
  expect(await numbersOf(first, "a")).toEqual(upTo(300));
});

test("a handler that throws ends its process: no event is passed over", async () => {
  const mesh = await meshes.join();
  await publish(mesh, "a", 2);
  const failures: unknown[] = [];
  const station = stationOn(mesh, (error) => failures.push(error));
  const one = await follow(station, Steps, new Inflow(station, 1), throwing);
  await one.caughtUp;
  expect(failures).toMatchObject([{ message: "at once" }]);
  const other = stationOn(mesh, (error) => failures.push(error));
  const two = await follow(other, Steps, new Inflow(other, 1), rejecting);
  await two.caughtUp;
  expect(failures).toMatchObject([{ message: "at once" }, { message: "later" }]);
});
