import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ChunkSequence, CreditWindow } from "./credit.ts";

describe("ChunkSequence", () => {
  test("takes chunks in order, drops repetitions, reports a gap and stays where it was", () => {
    const sequence = new ChunkSequence();
    expect([0, 1, 1, 0, 3, 2, 3].map((seq) => sequence.accept(seq))).toStrictEqual([
      "next",
      "next",
      "duplicate",
      "duplicate",
      "gap",
      "next",
      "next",
    ]);
    expect(sequence.received).toBe(4);
  });

  test("hands on every chunk exactly once, whatever is repeated", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(3), { maxLength: 50 }), (repeats) => {
        const sequence = new ChunkSequence();
        const taken: number[] = [];
        for (const [seq, times] of repeats.entries()) {
          for (let i = 0; i <= times; i++) if (sequence.accept(seq) === "next") taken.push(seq);
        }
        expect(taken).toStrictEqual([...repeats.keys()]);
      }),
    );
  });

  test("a number that is none is a gap", () => {
    const sequence = new ChunkSequence();
    expect([Number.NaN, 0.5, Infinity].map((seq) => sequence.accept(seq))).toStrictEqual([
      "gap",
      "gap",
      "gap",
    ]);
  });
});

describe("CreditWindow", () => {
  test("the writer is never more than the window ahead and never stuck", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 200 }),
        fc.infiniteStream(fc.boolean()),
        (window, coin) => {
          const credit = new CreditWindow(window);
          let granted = window;
          let sent = 0;
          let consumed = 0;
          for (let step = 0; step < 600; step++) {
            const maySend = sent < granted;
            const mayConsume = consumed < sent;
            expect(maySend || mayConsume).toBe(true);
            if (maySend && (!mayConsume || coin.next().value === true)) sent++;
            else {
              consumed++;
              granted += credit.consumed();
            }
            expect(sent - consumed).toBeLessThanOrEqual(window);
          }
        },
      ),
    );
  });

  test("a reader that keeps up sends one control message per half window", () => {
    const credit = new CreditWindow(64);
    const grants = Array.from({ length: 640 }, () => credit.consumed()).filter(
      (grant) => grant > 0,
    );
    expect(grants).toStrictEqual(Array.from({ length: 20 }, () => 32));
  });

  test.each([0, -1, Number.NaN])("a window of %d gives every credit back at once", (window) => {
    const credit = new CreditWindow(window);
    expect([credit.consumed(), credit.consumed()]).toStrictEqual([1, 1]);
  });
});
