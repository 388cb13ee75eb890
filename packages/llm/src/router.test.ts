import { seededRandom } from "@plexus/testing";
import { describe, expect, test } from "vitest";
import { rank, type Candidate, type Strategy } from "./router.ts";

const plain: Candidate = { id: "x", weight: 1, busy: 0, latencyMs: 100, cost: 1, headroom: 1 };
const candidates = (...own: Partial<Candidate>[]): Candidate[] =>
  own.map((one, i) => Object.assign({}, plain, { id: "abc"[i]! }, one));

/** How often each comes first, of 10,000 times. */
function firsts(strategy: Strategy, among: readonly Candidate[]): Record<string, number> {
  const random = seededRandom(1);
  const counts: Record<string, number> = Object.fromEntries(among.map(({ id }) => [id, 0]));
  for (let i = 0; i < 10_000; i++) counts[rank(strategy, among, random)[0]!.id]!++;
  return counts;
}

describe("a router", () => {
  test("by weight gives each its share, and the second place likewise", () => {
    const among = candidates({ weight: 6 }, { weight: 3 }, { weight: 1 });
    const { a, b, c } = firsts("weighted", among);
    expect(a! / 10_000).toBeCloseTo(0.6, 1);
    expect(b! / 10_000).toBeCloseTo(0.3, 1);
    expect(c! / 10_000).toBeCloseTo(0.1, 1);
    expect(new Set(rank("weighted", among, seededRandom(5)).map(({ id }) => id)).size).toBe(3);
  });

  test("by load takes who has least to do for its weight", () => {
    expect(firsts("leastBusy", candidates({ busy: 5 }, { busy: 3 }, { busy: 4 }))).toEqual({
      a: 0,
      b: 10_000,
      c: 0,
    });
    expect(firsts("leastBusy", candidates({ busy: 6, weight: 3 }, { busy: 3 }))).toMatchObject({
      b: 0,
    });
  });

  test("by latency takes the fastest, counts what it has to do, and tries who is unknown", () => {
    const fast = candidates({ latencyMs: 300 }, { latencyMs: 100 }, { latencyMs: 900 });
    expect(firsts("lowestLatency", fast)).toMatchObject({ b: 10_000 });
    const busy = candidates({ latencyMs: 300 }, { latencyMs: 100, busy: 4 });
    expect(firsts("lowestLatency", busy)).toMatchObject({ a: 10_000 });
    expect(firsts("lowestLatency", candidates({ latencyMs: undefined }, {}))).toMatchObject({
      a: 10_000,
    });
  });

  test("by cost takes the cheapest, by usage who has most left of its limits", () => {
    expect(firsts("lowestCost", candidates({ cost: 2 }, { cost: 1 }))).toMatchObject({ b: 10_000 });
    expect(firsts("usageBased", candidates({ headroom: 0.2 }, { headroom: 0.9 }))).toMatchObject({
      b: 10_000,
    });
  });

  test.each(["leastBusy", "lowestLatency", "lowestCost", "usageBased"] as const)(
    "by %s lets those that are as good share",
    (strategy) => {
      const { a, b, c } = firsts(strategy, candidates({}, {}, {}));
      for (const one of [a, b, c]) expect(one! / 10_000).toBeCloseTo(1 / 3, 1);
    },
  );
});
