import * as fc from "fast-check";
import { expect, expectTypeOf, test } from "vitest";
import { toMs, toTimerMs, type Duration } from "./duration.ts";
import { MeshError } from "./errors.ts";

test.each<[Duration, number]>([
  [0, 0],
  [1.5, 1.5],
  ["0ms", 0],
  ["250ms", 250],
  ["5s", 5_000],
  ["1.5m", 90_000],
  ["2h", 7_200_000],
  ["1d", 86_400_000],
  ["36500d", 3_153_600_000_000],
  ["36501d", 3_153_600_000_000],
  [Number.MAX_SAFE_INTEGER, 3_153_600_000_000], // as if to say: for ever
])("%s is %i ms", (duration, ms) => {
  expect(toMs(duration)).toBe(ms);
});

test("what a timer waits for is never longer than it can", () => {
  expect([toTimerMs("24d"), toTimerMs("25d")]).toEqual([2_073_600_000, 2 ** 31 - 1]);
});

test("everything else is INVALID_CONTRACT, by a message that shows it", () => {
  const others: unknown[] = [
    -1,
    Number.NaN,
    Infinity,
    "",
    "5",
    "s",
    "-5s",
    "5 s",
    " 5s",
    "5s\n",
    "5sec",
    "1e3s",
    "0x5s",
    ".5s",
    "5.s",
    "5S",
    "١s",
    `${"9".repeat(400)}d`,
    null,
    undefined,
    {},
    [5],
    ["5s"],
    5n,
    Symbol("5s"),
    Object.create(null),
    new Date(5),
  ];
  for (const duration of others) {
    let thrown: unknown;
    try {
      toMs(duration as Duration);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(MeshError);
    expect((thrown as MeshError).code).toBe("INVALID_CONTRACT");
    expect((thrown as MeshError).message).toMatch(/is not a duration: use milliseconds/);
    expect((thrown as MeshError).message.length).toBeLessThan(300);
  }
});

test("the result is never negative, NaN or infinite", () => {
  const anything = fc.oneof(
    fc.string(),
    fc.double(),
    fc.stringMatching(/^\d{1,320}(\.\d{1,3})?(ms|s|m|h|d)$/),
  );
  fc.assert(
    fc.property(anything, (duration) => {
      const ms = msOrCode(duration);
      expect(ms === "INVALID_CONTRACT" || (ms >= 0 && ms < Infinity)).toBe(true);
    }),
  );
});

test("a unit that does not exist does not compile", () => {
  expectTypeOf<"250ms">().toExtend<Duration>();
  expectTypeOf<"5 minutes">().not.toExtend<Duration>();
  expectTypeOf<"soon">().not.toExtend<Duration>();
});

function msOrCode(duration: unknown): number | "INVALID_CONTRACT" {
  try {
    return toMs(duration as Duration);
  } catch (error) {
    if (error instanceof MeshError && error.code === "INVALID_CONTRACT") return error.code;
    throw error;
  }
}
