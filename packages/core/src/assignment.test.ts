import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { assignPartitions, type Assignment } from "./assignment.ts";
import type { RingMember } from "./ring.ts";

const COUNTS = [64, 1_024];
const SIZES = Array.from({ length: 31 }, (_, i) => i + 2); // 2 to 32

const team = (count: number, weights: readonly number[] = [1]): RingMember[] =>
  Array.from({ length: count }, (_, i) => ({
    id: `instance-${i * 7919}`,
    weight: weights[i % weights.length]!,
  }));

const without = (members: readonly RingMember[], one: RingMember): RingMember[] =>
  members.filter((member) => member !== one);

/** Every member with few partitions; two with many, which take their time. */
const someOf = (members: readonly RingMember[], partitions: number): RingMember[] =>
  partitions < 1_000 ? [...members] : [members[0]!, members.at(-1)!];

function moved(before: Assignment, after: Assignment): number[] {
  return [...before.keys()].filter((partition) => before[partition] !== after[partition]);
}

function loads(assignment: Assignment): Map<string, number> {
  const counts = new Map<string, number>();
  for (const id of assignment) counts.set(id!, (counts.get(id!) ?? 0) + 1);
  return counts;
}

const fairShare = (members: readonly RingMember[], one: RingMember, partitions: number): number =>
  (partitions * one.weight) / members.reduce((sum, { weight }) => sum + weight, 0);

const someMembers = fc.uniqueArray(
  fc.record({ id: fc.string({ maxLength: 6 }), weight: fc.constantFrom(0.5, 1, 1, 2) }),
  { selector: ({ id }) => id, minLength: 1, maxLength: 9 },
);

describe("an assignment", () => {
  test.each(SIZES)(
    "of %i equal members moves at most 1.5/N of the partitions when one joins or leaves, all of them to or from it",
    (size) => {
      for (const partitions of COUNTS) {
        const members = team(size);
        const full = assignPartitions(members, partitions);
        for (const one of someOf(members, partitions)) {
          const left = assignPartitions(without(members, one), partitions, full);
          const gone = moved(full, left);
          expect(gone.length).toBeLessThanOrEqual((1.5 * partitions) / size);
          expect(new Set(gone.map((partition) => full[partition]))).toStrictEqual(
            new Set([one.id]),
          );

          const back = assignPartitions(members, partitions, left);
          const won = moved(left, back);
          expect(won.length).toBeLessThanOrEqual((1.5 * partitions) / size);
          expect(new Set(won.map((partition) => back[partition]))).toStrictEqual(new Set([one.id]));
        }
      }
    },
  );

  test.each(SIZES)(
    "of %i members of different weights moves at most 1.25 times the fair share of the one, rounded up",
    (size) => {
      for (const partitions of COUNTS) {
        const members = team(size, [1, 0.5, 2, 4, 1]);
        const full = assignPartitions(members, partitions);
        for (const one of someOf(members, partitions)) {
          const bound = Math.ceil(1.25 * fairShare(members, one, partitions));
          const left = assignPartitions(without(members, one), partitions, full);
          expect(moved(full, left).length).toBeLessThanOrEqual(bound);
          const back = assignPartitions(members, partitions, left);
          expect(moved(left, back).length).toBeLessThanOrEqual(bound);
        }
      }
    },
  );

  test("keeps these bounds, of moves and of load, through any history of joins and leaves", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(), fc.constantFrom(0.5, 1, 2)), { minLength: 1, maxLength: 30 }),
        (changes) => {
          let members = team(3);
          let owners = assignPartitions(members, 64);
          for (const [i, [choice, weight]] of changes.entries()) {
            const leaves = members.length > 1 && choice % 2 === 0;
            const one = leaves ? members[choice % members.length]! : { id: `joined-${i}`, weight };
            const larger = leaves ? members : [...members, one];
            members = leaves ? without(members, one) : larger;
            const after = assignPartitions(members, 64, owners);
            const bound = Math.ceil(1.25 * fairShare(larger, one, 64));
            expect(moved(owners, after).length).toBeLessThanOrEqual(bound);
            const load = loads(after);
            for (const member of members) {
              const most = Math.ceil(1.25 * fairShare(members, member, 64));
              expect(load.get(member.id) ?? 0).toBeLessThanOrEqual(most);
            }
            owners = after;
          }
        },
      ),
    );
  });

  test("of the same members and owners is the same, whatever the order of the members", () => {
    fc.assert(
      fc.property(
        someMembers,
        fc.array(fc.option(fc.nat(12), { nil: undefined }), { maxLength: 64 }),
        (members, holders) => {
          const previous = holders.map((holder) => holder && (members[holder]?.id ?? "gone"));
          const one = assignPartitions(members, 64, previous as Assignment);
          const other = assignPartitions(members.toReversed(), 64, previous as Assignment);
          expect(one).toStrictEqual(other);
        },
      ),
    );
  });

  test("does not change while it is carried out, in whatever order", () => {
    fc.assert(
      fc.property(
        someMembers,
        fc.array(fc.nat(12), { minLength: 64, maxLength: 64 }),
        fc.array(fc.boolean(), { minLength: 64, maxLength: 64 }),
        (members, holders, done) => {
          const previous = holders.map((holder) => members[holder]?.id);
          const due = assignPartitions(members, 64, previous);
          const midway = previous.map((id, partition) => (done[partition] ? due[partition] : id));
          expect(assignPartitions(members, 64, midway)).toStrictEqual(due);
          expect(assignPartitions(members, 64, due)).toStrictEqual(due);
        },
      ),
    );
  });

  test("starts out with the ring's own choice wherever its owner has room", () => {
    const members = team(4);
    const owners = assignPartitions(members, 64);
    expect(Math.max(...loads(owners).values())).toBe(16);
    expect(owners).toStrictEqual(assignPartitions(members, 64, []));
    expect(new Set(owners)).toStrictEqual(new Set(members.map(({ id }) => id)));
  });

  test("of nobody is empty, of one alone everything", () => {
    expect(assignPartitions([], 3)).toStrictEqual([undefined, undefined, undefined]);
    expect(assignPartitions(team(1), 2, ["gone", undefined])).toStrictEqual([
      "instance-0",
      "instance-0",
    ]);
  });

  test("never changes: all versions of a mixed fleet agree", () => {
    expect(assignPartitions(team(3), 8)).toMatchInlineSnapshot(`
      [
        "instance-7919",
        "instance-15838",
        "instance-15838",
        "instance-15838",
        "instance-7919",
        "instance-0",
        "instance-0",
        "instance-0",
      ]
    `);
  });

  test("refuses a capacity below the fair share", () => {
    expect(() => assignPartitions(team(2), 8, [], 0.9)).toThrow(
      expect.objectContaining({ code: "INVALID_CONTRACT" }),
    );
  });
});
