import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { NOTHING, plus, total, type Amount } from "./amount.ts";
import {
  crossed,
  fold,
  force,
  grant,
  keep,
  left,
  newBudget,
  used,
  type BudgetRecord,
} from "./budget.ts";

const usd = (nanoUsd: number): Amount => ({ nanoUsd, tokens: 0 });
const dollars = (limit: number): BudgetRecord => newBudget({ nanoUsd: limit, tokens: Infinity });

describe("a budget", () => {
  test("grants what is needed and a little ahead, until there is no more", () => {
    const one = grant(dollars(1_000), "a", usd(5))!;
    expect(one.granted["a"]!.nanoUsd).toBe(10); // one percent
    const all = grant(one, "b", usd(990))!;
    expect(left(all).nanoUsd).toBe(0);
    expect(grant(all, "c", usd(1))).toBeUndefined();
  });

  test("gets back what was granted and not spent", () => {
    const granted = grant(dollars(1_000), "a", usd(400))!;
    expect(left(keep(granted, "a", usd(100))).nanoUsd).toBe(900);
    const folded = fold(granted, "a", usd(300));
    expect([left(folded).nanoUsd, folded.settled.nanoUsd]).toEqual([700, 300]);
    expect(fold(folded, "a", usd(300))).toBe(folded); // once
  });

  test("tells of each threshold once, and of the highest of several", () => {
    const thresholds = [0.5, 0.8, 1];
    const half = crossed(force(dollars(100), "a", usd(55)), thresholds);
    expect(half.threshold).toBe(0.5);
    expect(crossed(half.record, thresholds).threshold).toBeUndefined();
    expect(crossed(force(half.record, "a", usd(45)), thresholds).threshold).toBe(1);
    expect(used(dollars(0))).toBe(1);
    expect(used(newBudget({ nanoUsd: Infinity, tokens: Infinity }))).toBe(0);
  });

  test("is never granted beyond its limit, whoever asks for whatever, in whatever order", () => {
    const step = fc.record({
      holder: fc.constantFrom("a", "b", "c", "d"),
      what: fc.constantFrom("grant", "grant", "keep", "fold"),
      amount: fc.nat(300),
    });
    fc.assert(
      fc.property(fc.nat(2_000), fc.array(step, { maxLength: 60 }), (limit, steps) => {
        let record = dollars(limit);
        const spent: Record<string, Amount> = {};
        let folded = NOTHING;
        for (const { holder, what, amount } of steps) {
          const granted = record.granted[holder] ?? NOTHING;
          const own = spent[holder] ?? NOTHING;
          if (what === "grant") record = grant(record, holder, usd(amount)) ?? record;
          else if (what === "keep" && holder in record.granted) record = keep(record, holder, own);
          else if (what === "fold" && holder in record.granted) {
            record = fold(record, holder, own);
            folded = plus(folded, own);
            delete spent[holder];
          }
          // Whatever is granted may be spent at any time.
          const free = (record.granted[holder]?.nanoUsd ?? 0) - (spent[holder]?.nanoUsd ?? 0);
          if (holder in record.granted && granted.nanoUsd >= 0) {
            spent[holder] = plus(
              spent[holder] ?? NOTHING,
              usd(Math.min(amount, Math.max(0, free))),
            );
          }
          const gone = plus(folded, total(Object.values(spent)));
          expect(gone.nanoUsd).toBeLessThanOrEqual(limit);
          expect(left(record).nanoUsd).toBeGreaterThanOrEqual(0);
          expect(record.settled).toEqual(folded);
        }
      }),
      { numRuns: 500 },
    );
  });
});
