import { expect, test } from "vitest";
import { ManualClock } from "./manual-clock.ts";

test("a clock stands still until it is advanced", () => {
  const clock = new ManualClock(1_000);
  expect(clock.now()).toBe(1_000);
  clock.advance(250);
  expect(clock.now()).toBe(1_250);
});

test("timers fire in the order of their times, those of one time in the order they were set", () => {
  const clock = new ManualClock();
  const fired: string[] = [];
  const set = (name: string, ms: number) =>
    clock.setTimeout(() => fired.push(`${name}@${clock.now()}`), ms);
  set("late", 30);
  set("first", 10);
  set("second", 10);
  clock.advance(9);
  expect(fired).toEqual([]);
  clock.advance(100);
  expect(fired).toEqual(["first@10", "second@10", "late@30"]);
  expect(clock.now()).toBe(109);
});

test("a timer that a timer sets fires within the same advance when it is due", () => {
  const clock = new ManualClock();
  const fired: number[] = [];
  const tick = () => {
    fired.push(clock.now());
    clock.setTimeout(tick, 10);
  };
  clock.setTimeout(tick, 10);
  clock.advance(35);
  expect(fired).toEqual([10, 20, 30]);
});

test("a cancelled timer does not fire", () => {
  const clock = new ManualClock();
  let fired = false;
  const cancel = clock.setTimeout(() => (fired = true), 10);
  cancel();
  clock.advance(20);
  expect(fired).toBe(false);
});

test("time does not go backwards", () => {
  expect(() => new ManualClock().advance(-1)).toThrow(RangeError);
});
