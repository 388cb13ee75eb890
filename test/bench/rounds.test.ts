import { describe, expect, test } from "vitest";
import { type Bench, type Measurement, runRounds } from "./rounds.ts";

const speed = (value: number): Measurement[] => [{ name: "speed", unit: "1/s", value }];

const faster = {
  name: "ours ÷ theirs",
  is: "at least" as const,
  bar: 2,
  of: (value: (contender: "ours" | "theirs", name: string) => number) =>
    value("ours", "speed") / value("theirs", "speed"),
};

function bench(
  sample: (contender: "ours" | "theirs", round: number) => Measurement[],
): Bench<"ours" | "theirs"> {
  const taken = { ours: 0, theirs: 0 };
  return {
    contenders: ["ours", "theirs"],
    rounds: { full: 3, quick: 1 },
    bars: [faster],
    sample: async (contender) => {
      taken[contender] += 1;
      return sample(contender, taken[contender]);
    },
  };
}

const quiet = { quick: false, log: () => {} };

describe("rounds", () => {
  test("the ratio of each round counts, not the ratio of the medians", async () => {
    const ours = [10, 30, 100];
    const theirs = [10, 10, 40];
    const outcome = await runRounds(
      bench((contender, round) =>
        speed((contender === "ours" ? ours : theirs)[round - 1] ?? Number.NaN),
      ),
      quiet,
    );
    expect(outcome.cases).toEqual([
      { name: "speed", contender: "ours", unit: "1/s", median: 30, min: 10, max: 100 },
      { name: "speed", contender: "theirs", unit: "1/s", median: 10, min: 10, max: 40 },
    ]);
    expect(outcome.ratios).toEqual([
      { name: "ours ÷ theirs (at least)", value: 2.5, bar: 2, ok: true },
    ]);
  });

  test("contenders take turns in going first", async () => {
    const order: string[] = [];
    await runRounds(
      bench((contender) => {
        order.push(contender);
        return speed(1);
      }),
      quiet,
    );
    expect(order).toEqual(["ours", "theirs", "theirs", "ours", "ours", "theirs"]);
  });

  test("a bar does not hold when a contender it needs has failed", async () => {
    const outcome = await runRounds(
      bench((contender, round) => {
        if (contender === "theirs" && round === 2) throw new Error("fell over");
        return speed(5);
      }),
      quiet,
    );
    expect(outcome.missing).toEqual([{ contender: "theirs", reason: "fell over" }]);
    expect(outcome.ratios).toMatchObject([{ value: null, ok: false }]);
  });
});
