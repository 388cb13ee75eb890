import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { Lanes } from "./lanes.ts";

test("tasks of one lane run one after the other, lanes side by side", async () => {
  const log: string[] = [];
  const lanes = new Lanes(100, () => undefined);
  const task = (name: string, ms: number) => async (): Promise<void> => {
    log.push(`${name} starts`);
    await sleep(ms);
    log.push(`${name} ends`);
  };
  void lanes.add("a", task("a1", 30));
  void lanes.add("a", task("a2", 1));
  void lanes.add("b", task("b1", 1));
  await lanes.idle();
  expect(log.filter((line) => line.startsWith("a"))).toEqual([
    "a1 starts",
    "a1 ends",
    "a2 starts",
    "a2 ends",
  ]);
  expect(log.indexOf("b1 ends")).toBeLessThan(log.indexOf("a1 ends"));
});

test("a full house asks to wait until there is room again", async () => {
  const lanes = new Lanes(2, () => undefined);
  const { promise, resolve } = Promise.withResolvers<void>();
  expect(lanes.add("a", () => promise)).toBeUndefined();
  const room = lanes.add("b", () => promise);
  expect(room).toBeInstanceOf(Promise);
  resolve();
  await room;
  expect(lanes.pending).toBeLessThan(2);
});

test("a task that throws is told about and does not hold up its lane", async () => {
  const errors: unknown[] = [];
  const lanes = new Lanes(10, (error) => errors.push(error));
  void lanes.add("a", () => Promise.reject(new Error("no")));
  let ran = false;
  void lanes.add("a", async () => {
    ran = true;
  });
  await lanes.idle();
  expect(errors).toHaveLength(1);
  expect(ran).toBe(true);
});
