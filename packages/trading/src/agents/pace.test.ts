import { expect, test } from "vitest";
import { nowMicros } from "../micros.ts";
import { Pace } from "./pace.ts";

test("every slot is offered once, in order, never before it is due", async () => {
  const seen: number[] = [];
  let early = 0;
  const pace = new Pace(
    (position, dueAt) => {
      seen.push(position);
      if (nowMicros() < dueAt) early += 1;
      return Promise.resolve();
    },
    5_000,
    300,
  );
  await pace.run(nowMicros());
  expect(seen).toEqual(Array.from({ length: 300 }, (_, index) => index));
  expect(early).toBe(0);
});

test("a source that is late catches up and leaves nothing out", async () => {
  let published = 0;
  const pace = new Pace(
    () => {
      published += 1;
      return Promise.resolve();
    },
    1_000,
    2_000,
  );
  const started = performance.now();
  await pace.run(nowMicros() - 10_000_000);
  expect(published).toBe(2_000);
  expect(performance.now() - started).toBeLessThan(1_000);
});

test("a stop ends it at the slot that is named", async () => {
  const seen: number[] = [];
  const pace = new Pace(
    (position) => {
      seen.push(position);
      if (position === 5) pace.stop(10);
      return undefined;
    },
    10_000,
    1_000_000,
  );
  await pace.run(nowMicros());
  expect(seen).toEqual(Array.from({ length: 10 }, (_, index) => index));
});
