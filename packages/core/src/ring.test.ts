import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { buildRing, type Ring, type RingMember } from "./ring.ts";

const member = (id: string, weight = 1): RingMember => ({ id, weight });
const team = (count: number): RingMember[] =>
  Array.from({ length: count }, (_, i) => member(`instance-${i}`));
const KEYS = Array.from({ length: 20_000 }, (_, i) => `key-${i}`);

function shares(ring: Ring<RingMember>): Map<string, number> {
  const counts = new Map<string, number>(ring.members.map(({ id }) => [id, 0]));
  for (const key of KEYS) {
    const { id } = ring.owner(key)!;
    counts.set(id, counts.get(id)! + 1 / KEYS.length);
  }
  return counts;
}

function moved(before: Ring<RingMember>, after: Ring<RingMember>): string[] {
  return KEYS.filter((key) => before.owner(key)!.id !== after.owner(key)!.id);
}

const someMembers = fc.uniqueArray(
  fc.record({ id: fc.string({ minLength: 1, maxLength: 8 }), weight: fc.constantFrom(0.5, 1, 2) }),
  { selector: ({ id }) => id, minLength: 1, maxLength: 8 },
);

describe("a ring", () => {
  test.each([2, 5, 10, 50])("of %i equal members gives each about the same share", (count) => {
    for (const share of shares(buildRing(team(count))).values()) {
      expect(share * count).toBeGreaterThan(0.65);
      expect(share * count).toBeLessThan(1.35);
    }
  });

  test("gives a member of weight 2 about twice the keys of weight 1, and of weight 0.5 half", () => {
    const counts = shares(buildRing([member("a", 2), ...team(6), member("b", 0.5)]));
    expect(counts.get("a")! / (1 / 8.5)).toBeGreaterThan(1.6);
    expect(counts.get("a")! / (1 / 8.5)).toBeLessThan(2.4);
    expect(counts.get("b")! / (1 / 8.5)).toBeGreaterThan(0.3);
    expect(counts.get("b")! / (1 / 8.5)).toBeLessThan(0.7);
  });

  test.each([4, 10, 30])(
    "that one joins moves at most 1.5/N of the keys, all of them to it (N = %i)",
    (count) => {
      const all = team(count);
      for (const joining of all) {
        const before = buildRing(all.filter((one) => one !== joining));
        const after = buildRing(all);
        const keys = moved(before, after);
        expect(keys.length / KEYS.length).toBeLessThan(1.5 / count);
        expect(keys.length).toBeGreaterThan(0);
        for (const key of keys) expect(after.owner(key)).toBe(joining);
      }
    },
  );

  test("that one leaves moves only the keys it had", () => {
    const all = team(10);
    const before = buildRing(all);
    const after = buildRing(all.slice(1));
    for (const key of moved(before, after)) expect(before.owner(key)).toBe(all[0]);
  });

  test("of the same members in another order is the same ring", () => {
    fc.assert(
      fc.property(
        someMembers.chain((members) =>
          fc.tuple(
            fc.constant(members),
            fc.shuffledSubarray(members, { minLength: members.length }),
          ),
        ),
        fc.array(fc.string()),
        ([members, shuffled], keys) => {
          const [one, other] = [buildRing(members), buildRing(shuffled)];
          for (const key of keys) {
            expect([...one.successors(key)]).toStrictEqual([...other.successors(key)]);
          }
        },
      ),
    );
  });

  test("names every member once as a successor, the owner first", () => {
    fc.assert(
      fc.property(someMembers, fc.string(), (members, key) => {
        const ring = buildRing(members);
        const order = [...ring.successors(key)];
        expect(order[0]).toBe(ring.owner(key));
        expect(new Set(order)).toStrictEqual(new Set(members));
        expect(order).toHaveLength(members.length);
      }),
    );
  });

  test("hands a key whose owner leaves to its first successor", () => {
    const all = team(8);
    const ring = buildRing(all);
    for (const key of KEYS.slice(0, 500)) {
      const [owner, next] = [...ring.successors(key)];
      expect(buildRing(all.filter((one) => one !== owner)).owner(key)).toBe(next);
    }
  });

  test("spreads the keys of one that leaves over all the others", () => {
    const all = team(6);
    const after = buildRing(all.slice(1));
    const heirs = new Set(moved(buildRing(all), after).map((key) => after.owner(key)!.id));
    expect(heirs.size).toBe(5);
  });

  test("without members has no owner and no successors", () => {
    const ring = buildRing([]);
    expect(ring.owner("a")).toBeUndefined();
    expect([...ring.successors("a")]).toStrictEqual([]);
  });

  test("of one member gives it everything, whatever its weight", () => {
    for (const weight of [0, -1, Number.NaN, 1e-9, 1, Infinity, 1e308]) {
      const ring = buildRing([member("only", weight)]);
      for (const key of ["", "a", "漢"]) expect(ring.owner(key)!.id).toBe("only");
    }
  });

  test("survives weights that are none: they count as next to nothing or as 100", () => {
    const counts = shares(
      buildRing([member("a"), member("zero", 0), member("minus", -5), member("nan", Number.NaN)]),
    );
    expect(counts.get("a")).toBeGreaterThan(0.95);
    const heavy = shares(buildRing([member("a"), member("b", Infinity)]));
    expect(heavy.get("b")).toBeGreaterThan(0.97);
    expect(heavy.get("a")).toBeGreaterThan(0);
  });

  test("never changes: owners stay where they are across versions", () => {
    const ring = buildRing(team(4));
    expect(["AAPL", "MSFT", "NVDA", "TSLA"].map((key) => ring.owner(key)!.id)).toStrictEqual([
      "instance-0",
      "instance-0",
      "instance-1",
      "instance-1",
    ]);
  });
});
