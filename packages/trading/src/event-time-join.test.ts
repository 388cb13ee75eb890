import * as fc from "fast-check";
import { expect, test } from "vitest";
import { addMonths } from "./calendar.ts";
import { EventTimeJoin, type JoinedInput } from "./event-time-join.ts";
import type { FundamentalView } from "./fundamental-view.ts";
import type { SentimentView } from "./sentiment-view.ts";
import type { TechnicalSignal } from "./technical-signal.ts";

const START = "1999-12";

function signal(symbol: string, seq: number, month: number): TechnicalSignal {
  return {
    symbol,
    interval: "daily",
    seq,
    date: `${addMonths(START, month)}-15`,
    closeCents: 100,
    smaFast: null,
    smaSlow: null,
    rsi: null,
    bandLower: null,
    bandMiddle: null,
    bandUpper: null,
    atr: null,
  };
}

function fundamental(seq: number): FundamentalView {
  const asOf = addMonths(START, seq);
  return { seq, asOf, jobsChange: null, breadth: null, score: 0, regime: "neutral" };
}

function sentiment(seq: number): SentimentView {
  return { seq, asOf: addMonths(START, seq), mode: "lexicon", headlines: 0, score: 0, level: 0 };
}

type Arrival =
  | { readonly kind: "fundamental" | "sentiment"; readonly seq: number }
  | { readonly kind: "signal"; readonly signal: TechnicalSignal };

function push(join: EventTimeJoin, arrival: Arrival): JoinedInput[] {
  if (arrival.kind === "signal") return join.pushSignal(arrival.signal);
  if (arrival.kind === "sentiment") return join.pushSentiment(sentiment(arrival.seq));
  return join.pushFundamental(fundamental(arrival.seq));
}

test("a signal waits until both views of the month before are known", () => {
  const join = new EventTimeJoin();
  expect(join.pushSignal(signal("X", 0, 1))).toEqual([]);
  expect(join.pushFundamental(fundamental(0))).toEqual([]);
  expect(join.stats.buffered).toBe(1);
  expect(join.pushSentiment(sentiment(0))).toEqual([
    { signal: signal("X", 0, 1), fundamental: fundamental(0), sentiment: sentiment(0) },
  ]);
  expect(join.stats).toMatchObject({ joined: 1, buffered: 0 });
});

test("a signal is joined with the month before it, though later views are known", () => {
  const join = new EventTimeJoin();
  for (const seq of [0, 1, 2, 3]) {
    join.pushFundamental(fundamental(seq));
    join.pushSentiment(sentiment(seq));
  }
  expect(join.pushSignal(signal("X", 0, 2))[0]?.fundamental.asOf).toBe("2000-01");
});

test("a signal never overtakes an earlier one of its symbol, though its own views are known", () => {
  const join = new EventTimeJoin();
  join.pushSignal(signal("X", 0, 1));
  join.pushFundamental(fundamental(1));
  join.pushSentiment(sentiment(1));
  expect(join.pushSignal(signal("X", 1, 2))).toEqual([]);
  expect(join.pushSignal(signal("Y", 0, 2))).toHaveLength(1);
  join.pushSentiment(sentiment(0));
  const ready = join.pushFundamental(fundamental(0));
  expect(ready.map((input) => [input.signal.seq, input.fundamental.seq])).toEqual([
    [0, 0],
    [1, 1],
  ]);
});

test("every interleaving yields the same inputs per symbol, in order", () => {
  const views = [0, 1, 2, 3, 4].flatMap((seq): Arrival[] => [
    { kind: "fundamental", seq },
    { kind: "sentiment", seq },
  ]);
  const signals = ["X", "Y", "Z"].map((symbol) =>
    Array.from({ length: 15 }, (_, seq) => signal(symbol, seq, 1 + Math.floor(seq / 3))),
  );
  const order = fc.shuffledSubarray([...views.keys(), ...signals.flat().map(() => -1)], {
    minLength: views.length + 45,
  });
  fc.assert(
    fc.property(order, fc.infiniteStream(fc.nat(2)), (slots, picks) => {
      const queues = signals.map((own) => [...own]);
      const join = new EventTimeJoin();
      const ready = slots.flatMap((slot) => {
        const view = views[slot];
        if (view !== undefined) return push(join, view);
        const left = queues.filter((queue) => queue.length > 0);
        const queue = left[(picks.next().value ?? 0) % left.length];
        const next = queue?.shift();
        return next === undefined ? [] : join.pushSignal(next);
      });
      for (const own of signals) {
        const inputs = ready.filter((input) => input.signal.symbol === own[0]?.symbol);
        expect(inputs.map((input) => input.signal)).toEqual(own);
        for (const input of inputs) {
          const month = Math.floor(input.signal.seq / 3);
          expect([input.fundamental.seq, input.sentiment.seq]).toEqual([month, month]);
        }
      }
      expect(join.stats).toEqual({
        joined: 45,
        buffered: 0,
        overflowed: 0,
        late: 0,
        duplicateSignals: 0,
        duplicateViews: 0,
        missing: 0,
      });
    }),
  );
});

test("repeated signals and views are counted and ignored", () => {
  const join = new EventTimeJoin();
  join.pushFundamental(fundamental(0));
  join.pushSentiment(sentiment(0));
  expect(join.pushSignal(signal("X", 0, 1))).toHaveLength(1);
  expect(join.pushSignal(signal("X", 0, 1))).toEqual([]);
  expect(join.pushFundamental(fundamental(0))).toEqual([]);
  expect(join.pushSignal(signal("X", 3, 1))).toHaveLength(1);
  expect(join.stats).toMatchObject({
    joined: 2,
    duplicateSignals: 1,
    duplicateViews: 1,
    missing: 2,
  });
});

test("a full buffer refuses the newest signal and says so; it can be offered again", () => {
  const join = new EventTimeJoin({ maxBuffered: 2 });
  for (const seq of [0, 1, 2]) join.pushSignal(signal("X", seq, 1));
  expect(join.stats).toMatchObject({ buffered: 2, overflowed: 1, missing: 0 });
  join.pushFundamental(fundamental(0));
  expect(join.pushSentiment(sentiment(0))).toHaveLength(2);
  expect(join.pushSignal(signal("X", 2, 1))).toHaveLength(1);
  expect(join.stats).toMatchObject({ joined: 3, buffered: 0, missing: 0 });
});

test("signals whose views are gone or will never exist are late, and block nobody", () => {
  const join = new EventTimeJoin({ maxMonths: 2 });
  join.pushSignal(signal("OLD", 0, 0));
  join.pushSignal(signal("OLD", 1, 1));
  for (const seq of [0, 1, 2, 3]) join.pushFundamental(fundamental(seq));
  expect(join.stats).toMatchObject({ buffered: 0, late: 2 });
  join.pushSentiment(sentiment(3));
  expect(join.pushSignal(signal("OLD", 2, 1))).toEqual([]);
  expect(join.pushSignal(signal("OLD", 3, 4))).toHaveLength(1);
  expect(join.stats).toMatchObject({ joined: 1, late: 3, missing: 0 });
});

test("when half of the room is taken it asks to hold back, until views have come", async () => {
  const join = new EventTimeJoin({ maxBuffered: 4 });
  join.pushSignal(signal("A", 0, 1));
  expect(join.room()).toBeUndefined();
  join.pushSignal(signal("B", 0, 1));
  const room = join.room();
  expect(room).toBeInstanceOf(Promise);
  join.pushFundamental(fundamental(0));
  expect(join.room()).toBe(room);
  expect(join.pushSentiment(sentiment(0))).toHaveLength(2);
  expect(join.room()).toBeUndefined();
  await room;
});
