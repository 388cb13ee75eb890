import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { apportion } from "./apportion.ts";
import type { RingMember } from "./ring.ts";

const team = (...weights: number[]): RingMember[] =>
  weights.map((weight, i) => ({ id: `instance-${i}`, weight }));

const someMembers = fc.uniqueArray(
  fc.record({
    id: fc.string({ minLength: 1, maxLength: 6 }),
    weight: fc.constantFrom(0.25, 0.5, 1, 1, 2, 3, 4),
  }),
  { selector: ({ id }) => id, minLength: 2, maxLength: 32 },
);

describe("quotas", () => {
  test("are whole, differ by one at most between equal members, and make up all partitions", () => {
    for (const partitions of [1, 64, 1_024]) {
      for (let count = 1; count <= 32; count++) {
        const quotas = [
          ...apportion(team(...Array<number>(count).fill(1)), partitions, 1).values(),
        ];
        expect(quotas.reduce((sum, quota) => sum + quota, 0)).toBe(partitions);
        expect(Math.max(...quotas)).toBe(Math.ceil(partitions / count));
        expect(Math.min(...quotas)).toBe(Math.floor(partitions / count));
      }
    }
  });

  test("are proportional to the weights", () => {
    expect(Object.fromEntries(apportion(team(1, 2, 5), 64, 1.25))).toStrictEqual({
      "instance-0": 8,
      "instance-1": 16,
      "instance-2": 40,
    });
  });

  test("are nothing for a weight that is next to nothing, and everything for an only member", () => {
    expect(apportion(team(1, 0), 64, 1.25).get("instance-1")).toBe(0);
    expect(apportion(team(0), 64, 1.25).get("instance-0")).toBe(64);
    expect(apportion([], 64, 1.25).size).toBe(0);
  });

  test("never exceed the capacity factor times the fair share, rounded up", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 100, noNaN: true }), { minLength: 1, maxLength: 100 }),
        fc.constantFrom(1, 64, 200),
        fc.constantFrom(1, 1.25, 2),
        (weights, partitions, factor) => {
          const quotas = apportion(team(...weights), partitions, factor);
          const counted = weights.map((weight) => Math.max(weight, 1 / 160));
          const total = counted.reduce((sum, weight) => sum + weight, 0);
          let sum = 0;
          for (const [i, weight] of counted.entries()) {
            const quota = quotas.get(`instance-${i}`)!;
            expect(quota).toBeLessThanOrEqual(Math.ceil((factor * partitions * weight) / total));
            sum += quota;
          }
          expect(sum).toBe(partitions);
        },
      ),
    );
  });

  test("of the others never rise when one joins, nor fall when one leaves", () => {
    fc.assert(
      fc.property(someMembers, fc.constantFrom(64, 1_024), (members, partitions) => {
        const all = apportion(members, partitions, 1.25);
        const without = apportion(members.slice(1), partitions, 1.25);
        for (const { id } of members.slice(1)) {
          expect(all.get(id)!).toBeLessThanOrEqual(without.get(id)!);
        }
      }),
    );
  });

  test("do not depend on the order of the members", () => {
    fc.assert(
      fc.property(someMembers, (members) => {
        const reversed = apportion(members.toReversed(), 64, 1.25);
        expect([...apportion(members, 64, 1.25)]).toStrictEqual([...reversed]);
      }),
    );
  });
});
