import { expect, test } from "vitest";
import type { Order } from "./decision.ts";
import {
  advance,
  assess,
  Assessment,
  createRisk,
  defaultRiskLimits,
  openRiskState,
  type RiskLimits,
  RiskState,
} from "./risk.ts";

const free = { slippageBps: 0, commissionBps: 0, minimumFeeCents: 0 };
const limits: RiskLimits = {
  ...defaultRiskLimits,
  capitalCents: 1_000_000,
  minOrderNotionalCents: 10_000,
};

interface Step {
  readonly target: number;
  readonly price?: number;
  readonly date?: string;
}

function order(
  number: number,
  { target, price = 1_000, date = "2001-03-01" }: Step,
  previous = 0,
): Order {
  return {
    id: `trend:X:${number}`,
    number,
    strategy: "trend",
    symbol: "X",
    seq: number,
    date,
    side: target > previous ? "buy" : "sell",
    targetShares: target,
    priceCents: price,
    reason: "test",
  };
}

/** What becomes of a sequence of targets: shares traded, or why not. */
function outcomes(steps: readonly Step[], own: RiskLimits = limits): (number | string)[] {
  const risk = createRisk(own, free);
  return steps.map((step, number) => {
    const answer = risk.assess(order(number, step, steps[number - 1]?.target));
    expect(Assessment.safeParse(answer).success).toBe(true);
    return answer.status === "approved" ? answer.order.shares : answer.reason;
  });
}

test("an order trades the difference between its target and what the book holds", () => {
  expect(outcomes([{ target: 500 }, { target: 800 }, { target: 200 }, { target: 0 }])).toEqual([
    500, 300, 600, 200,
  ]);
});

test("a purchase is cut to the tightest limit, and says so", () => {
  expect(outcomes([{ target: 2_000 }])).toEqual([1_000]);
  expect(outcomes([{ target: 900 }], { ...limits, maxPositionShares: 300 })).toEqual([300]);
  expect(outcomes([{ target: 900 }], { ...limits, maxOrderNotionalCents: 250_500 })).toEqual([250]);
  const answer = createRisk({ ...limits, maxPositionShares: 300 }, free).assess(
    order(0, { target: 900 }),
  );
  expect(answer).toMatchObject({ status: "approved", reduced: true });
});

test("what a limit leaves must be worth an order", () => {
  expect(outcomes([{ target: 9 }])).toEqual(["minimum-order"]);
  const tight = { ...limits, maxPositionShares: 300 };
  expect(outcomes([{ target: 900 }, { target: 950 }], tight)).toEqual([300, "position-limit"]);
  expect(
    outcomes([{ target: 900, price: 1_200 }], { ...limits, maxOrderNotionalCents: 5_000 }),
  ).toEqual(["order-limit"]);
  expect(outcomes([{ target: 1_000 }, { target: 1_100 }])).toEqual([1_000, "cash"]);
});

test("a book that holds what is wanted has nothing to trade", () => {
  const tight = { ...limits, minOrderNotionalCents: 600_000 };
  expect(outcomes([{ target: 500 }, { target: 0 }], tight)).toEqual([
    "minimum-order",
    "nothing-to-sell",
  ]);
  const capped = { ...limits, maxPositionShares: 300 };
  expect(
    outcomes([{ target: 900 }, { target: 400 }, { target: 600 }, { target: 250 }], capped),
  ).toEqual([300, "nothing-to-sell", "position-limit", 50]);
});

test("after a deep drawdown buying pauses for the cool-down, selling never does", () => {
  const roomy = { ...limits, yearlyLossBps: 10_000 };
  expect(
    outcomes(
      [
        { target: 1_000, date: "2001-03-01" },
        { target: 900, price: 840, date: "2001-04-01" },
        { target: 950, price: 840, date: "2001-05-01" },
        { target: 0, price: 840, date: "2001-05-02" },
        { target: 500, price: 840, date: "2001-09-27" },
        { target: 600, price: 840, date: "2001-09-28" },
      ],
      roomy,
    ),
  ).toEqual([1_000, 100, "drawdown-stop", 900, "drawdown-stop", 600]);
});

test("a year's losses stop buying until the next year", () => {
  expect(
    outcomes([
      { target: 1_000, date: "2001-03-01" },
      { target: 0, price: 910, date: "2001-04-01" },
      { target: 500, price: 910, date: "2001-12-31" },
      { target: 600, price: 910, date: "2002-01-01" },
    ]),
  ).toEqual([1_000, 1_000, "loss-limit", 600]);
});

test("assessing changes nothing; what changes a book is the assessment that was recorded", () => {
  const state = Object.freeze(openRiskState(limits));
  const first = order(0, { target: 500 });
  const answer = assess(state, first, limits, free);
  expect(assess(state, first, limits, free)).toEqual(answer);
  const after = advance(state, { order: first, answer }, limits, free);
  expect(state).toEqual(openRiskState(limits));
  expect(after).toMatchObject({ nextOrder: 1, book: { shares: 500, fills: 1 } });
  expect(RiskState.parse(after)).toEqual(after);
});

test("fills are numbered by approvals, not by orders", () => {
  const risk = createRisk({ ...limits, minOrderNotionalCents: 400_000 }, free);
  expect(risk.assess(order(0, { target: 10 })).status).toBe("rejected");
  expect(risk.assess(order(1, { target: 500 }, 10))).toMatchObject({ order: { number: 0 } });
});

test("an order that comes before its predecessor is an error, not another outcome", () => {
  const risk = createRisk(limits, free);
  expect(() => risk.assess(order(1, { target: 500 }))).toThrow(
    expect.objectContaining({ code: "OUT_OF_ORDER" }),
  );
  risk.assess(order(0, { target: 500 }));
  expect(() => risk.assess({ ...order(0, { target: 500 }), id: "trend:X:99" })).toThrow(
    expect.objectContaining({ code: "OUT_OF_ORDER" }),
  );
});

test("books do not share limits", () => {
  const risk = createRisk(limits, free);
  risk.assess(order(0, { target: 1_000 }));
  const other = { ...order(0, { target: 1_000 }), symbol: "Y", id: "trend:Y:0" };
  expect(risk.assess(other)).toMatchObject({ status: "approved", reduced: false });
});
