import { MeshError } from "@plexus/core";
import { MemoryCheckpointer } from "@plexus/workflow";
import { expect, test } from "vitest";
import type { OrderAnswer } from "./contracts.ts";
import type { Order } from "./decision.ts";
import type { JoinedInput } from "./event-time-join.ts";
import { Analyst, type Approval, isVotedDown, opinionOf, reviewOf } from "./large-order.ts";
import { type Endings, largeOrderGraph, seeThrough } from "./large-order-graph.ts";

const order: Order = {
  id: "regime:SPX:7",
  strategy: "regime",
  symbol: "SPX",
  seq: 7,
  date: "2001-03-01",
  priceCents: 1_000,
  reason: "",
  targetShares: 100,
  number: 0,
  side: "buy",
};

/** What a strategy knew: rising prices, a growing economy and good news, unless said otherwise. */
function known(
  regime: "expansion" | "contraction" = "expansion",
  level = 0.5,
  rsi = 50,
): JoinedInput {
  return {
    signal: {
      symbol: "SPX",
      interval: "daily",
      seq: 7,
      date: "2001-03-01",
      closeCents: 1_000,
      smaFast: 990,
      smaSlow: 900,
      rsi,
      bandLower: 800,
      bandMiddle: 900,
      bandUpper: 1_100,
      atr: 10,
    },
    fundamental: { seq: 1, asOf: "2001-02", jobsChange: 1, breadth: 1, score: 0, regime },
    sentiment: { seq: 1, asOf: "2001-02", mode: "lexicon", headlines: 1, score: level, level },
  };
}

const limits = { reviewAboveCents: 99_999, approveAboveCents: 100_000 };
const filled: OrderAnswer = {
  status: "filled",
  reduced: false,
  fill: {
    orderId: order.id,
    strategy: "regime",
    symbol: "SPX",
    seq: 7,
    date: "2001-03-01",
    side: "buy",
    shares: 100,
    number: 0,
    priceCents: 1_000,
    feeCents: 100,
  },
};

test("only purchases above the limit are reviewed, and only above the second one a human is asked", () => {
  const input = known();
  expect(reviewOf(order, input, undefined)).toBeUndefined();
  expect(reviewOf({ ...order, targetShares: 99 }, input, limits)).toBeUndefined();
  expect(reviewOf({ ...order, side: "sell" }, input, limits)).toBeUndefined();
  expect(reviewOf(order, input, limits)).toMatchObject({ notionalCents: 100_000, approval: false });
  expect(reviewOf({ ...order, targetShares: 101 }, input, limits)).toMatchObject({
    approval: true,
  });
});

test.each([
  { input: known(), votes: ["for", "for", "for"], down: false },
  { input: known("contraction", 0), votes: ["for", "against", "abstains"], down: false },
  { input: known("contraction", -0.5), votes: ["for", "against", "against"], down: true },
  { input: known("contraction", 0, 71), votes: ["against", "against", "abstains"], down: true },
])("analysts vote $votes", ({ input, votes, down }) => {
  const review = reviewOf(order, input, limits)!;
  const opinions = Analyst.options.map((analyst) => opinionOf(analyst, review));
  expect(opinions.map(({ vote }) => vote)).toEqual(votes);
  expect(isVotedDown(opinions)).toBe(down);
});

/** Notes what is done with orders; `execute` does what the test says. */
function desk(execute: Endings["execute"] = async () => filled) {
  const told: string[] = [];
  const endings: Endings = {
    execute: (one, signal) => {
      told.push("executed");
      return execute(one, signal);
    },
    refuse: async (_, reason) => {
      told.push(reason);
      return { status: "rejected", reason };
    },
  };
  return { told, endings };
}

const nobody = (): Promise<Approval> => Promise.reject(new Error("nobody is asked"));
const ends = (): Promise<Approval> =>
  Promise.reject(new MeshError("CANCELED", "This process ends."));
const says = (approved: boolean) => (): Promise<Approval> =>
  Promise.resolve({ order: order.id, approved, by: "h" });
const large = (shares = 100, input = known()) => {
  const wanted = { ...order, targetShares: shares };
  return { order: wanted, review: reviewOf(wanted, input, limits)! };
};

test("an order that the vote carries is executed, one that it does not is refused, and no human is asked", async () => {
  const { told, endings } = desk();
  expect(await seeThrough(largeOrderGraph(endings), large(), nobody)).toEqual(filled);
  const down = await seeThrough(
    largeOrderGraph(endings),
    large(100, known("contraction", -1)),
    nobody,
  );
  expect(down).toEqual({ status: "rejected", reason: "voted-down" });
  expect(told).toEqual(["executed", "voted-down"]);
});

test("above the second limit a human decides, who is told what the analysts say", async () => {
  const { told, endings } = desk();
  const questions: unknown[] = [];
  const answer = await seeThrough(largeOrderGraph(endings), large(101), (request) => {
    questions.push(request);
    return says(true)();
  });
  expect(answer).toEqual(filled);
  expect(questions).toEqual([
    {
      order: order.id,
      strategy: "regime",
      symbol: "SPX",
      notionalCents: 101_000,
      opinions: [
        { analyst: "technical", vote: "for", why: "above its slow average" },
        { analyst: "fundamental", vote: "for", why: "expansion" },
        { analyst: "sentiment", vote: "for", why: "mood 0.50" },
      ],
    },
  ]);
  const refused = await seeThrough(largeOrderGraph(endings), large(101), says(false));
  expect(refused).toEqual({ status: "rejected", reason: "not-approved" });
  expect(told).toEqual(["executed", "not-approved"]);
});

test("whoever goes on with an order asks nothing twice that was answered, and executes nothing twice that was done", async () => {
  const options = { checkpointer: new MemoryCheckpointer() };
  let fails = true;
  const { told, endings } = desk(async () => {
    if (!fails) return filled;
    throw new MeshError("AGENT_LOST", "The book's owner is gone.");
  });
  await expect(
    seeThrough(largeOrderGraph(endings, options), large(101), ends),
  ).rejects.toMatchObject({ code: "CANCELED" });
  await expect(
    seeThrough(largeOrderGraph(endings, options), large(101), says(true)),
  ).rejects.toMatchObject({ code: "AGENT_LOST" });
  fails = false;
  const last = largeOrderGraph(endings, options);
  expect(await seeThrough(last, large(101), nobody)).toEqual(filled);
  expect(await seeThrough(last, large(101), nobody)).toEqual(filled);
  expect(told).toEqual(["executed", "executed"]); // the one that failed, and the one that did not
});
