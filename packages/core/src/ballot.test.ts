import * as fc from "fast-check";
import { expect, test } from "vitest";
import { elect, type VotingMethod } from "./ballot.ts";

const candidates = ["theirs", "merged", "ours"];
const methods: VotingMethod[] = ["borda", "rankedChoice"];

test("Borda finds whom most can live with, ranked choice whom a majority wants", () => {
  const ballots = [
    ...Array.from({ length: 3 }, () => ["ours", "merged", "theirs"]),
    ...Array.from({ length: 2 }, () => ["merged", "theirs", "ours"]),
  ];
  expect(elect(candidates, ballots, "borda")).toBe("merged");
  expect(elect(candidates, ballots, "rankedChoice")).toBe("ours");
});

test("ranked choice passes the ballots of the last one on", () => {
  const ballots = [
    ["ours"],
    ["ours"],
    ["theirs", "merged"],
    ["merged", "theirs"],
    ["merged", "theirs"],
  ];
  expect(elect(candidates, ballots, "rankedChoice")).toBe("merged");
});

test.each(methods)("with %s a tie, and no ballots at all, go to the first candidate", (method) => {
  expect(elect(candidates, [["ours"], ["theirs"]], method)).toBe("theirs");
  expect(elect(candidates, [], method)).toBe("theirs");
  expect(elect([], [["ours"]], method)).toBeUndefined();
});

test.each(methods)(
  "with %s the order of the ballots does not matter, nor do strangers",
  (method) => {
    const ballot = fc.shuffledSubarray([...candidates, "nobody"]);
    fc.assert(
      fc.property(fc.array(ballot, { maxLength: 9 }), fc.nat(), (ballots, by) => {
        const turned = ballots.map((_, n) => ballots[(n + by) % ballots.length]!);
        const known = ballots.map((one) => one.filter((name) => name !== "nobody"));
        const winner = elect(candidates, ballots, method);
        expect(candidates).toContain(winner);
        expect(elect(candidates, turned, method)).toBe(winner);
        expect(elect(candidates, known, method)).toBe(winner);
      }),
    );
  },
);

test.each(methods)("with %s whom all ballots put first wins", (method) => {
  fc.assert(
    fc.property(fc.constantFrom(...candidates), fc.integer({ min: 1, max: 9 }), (first, count) => {
      const rest = candidates.filter((one) => one !== first);
      const ballots = Array.from({ length: count }, () => [first, ...rest]);
      expect(elect(candidates, ballots, method)).toBe(first);
    }),
  );
});
