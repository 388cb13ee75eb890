import { expect, test } from "vitest";
import { closingReport } from "./closing-report.ts";
import { loadDataset } from "./dataset.ts";
import { bookKey, type Order, toOrder } from "./decision.ts";
import { EventTimeJoin } from "./event-time-join.ts";
import { type Fill, fill } from "./fill.ts";
import { createFundamental } from "./fundamental.ts";
import { InOrder } from "./in-order.ts";
import { barsOf } from "./instrument.ts";
import { ledgerHash } from "./ledger.ts";
import { macroCalendar } from "./macro.ts";
import { createPortfolio } from "./portfolio.ts";
import { uniform } from "./random.ts";
import type { PortfolioReport } from "./report.ts";
import { createRisk, defaultRiskLimits } from "./risk.ts";
import { createSentiment } from "./sentiment.ts";
import { simulate, type SimulateOptions } from "./simulate.ts";
import { strategies } from "./strategies.ts";
import { createStrategy } from "./strategy.ts";
import { createTechnical } from "./technical.ts";
import { universe } from "./universe.ts";

const dataset = loadDataset();
const { capitalCents } = defaultRiskLimits;

test("the default run trades, is stopped by risk now and then, and adds up", () => {
  const run = simulate({ dataset });
  expect(run.signals).toBe(5_665);
  expect(run.decisions.hold + run.orders.length).toBe(3 * run.signals);
  expect(run.fills.length + run.rejections.length).toBe(run.orders.length);
  expect(run.fills.length).toBeGreaterThan(200);
  expect(run.rejections.length).toBeGreaterThan(10);
  expect(new Set(run.rejections.map(({ reason }) => reason)).size).toBeGreaterThan(2);
  expect(new Set(run.fills.map(({ strategy }) => strategy)).size).toBe(3);
  expect(run.report).toMatchObject({ duplicates: 0, held: 0, lateFills: 0 });
  expect(run.report.books).toHaveLength(18);

  const { closing } = run;
  expect(closing.ledgerHash).toBe(ledgerHash(run.fills));
  expect(closing.total.capitalCents).toBe(18 * capitalCents);
  const byBook = run.report.books.reduce((sum, book) => sum + book.pnlCents, 0);
  expect(closing.total.pnlCents).toBe(byBook);
  const byMonth = Object.values(run.report.changeByMonth).reduce((sum, change) => sum + change, 0);
  expect(byMonth).toBe(byBook);
  expect([closing.from, closing.to]).toEqual(["2000-01-01", "2020-04-17"]);
});

test("two runs are equal, and the seed decides about synthetic symbols only", () => {
  const synthetic = { dataset, symbols: 3, bars: 600 };
  expect(simulate({ ...synthetic, seed: 4 })).toEqual(simulate({ ...synthetic, seed: 4 }));
  const hashes = [4, 5].map((seed) => simulate({ ...synthetic, seed }).closing.ledgerHash);
  expect(new Set(hashes).size).toBe(2);
  const real = [4, 5].map((seed) => simulate({ dataset, bars: 600, seed }).closing.ledgerHash);
  expect(new Set(real).size).toBe(1);
});

test("bars can be limited by symbol", () => {
  const run = simulate({ dataset, bars: (symbol) => (symbol === "SPX" ? 300 : 10) });
  expect(run.report.symbols.map(({ marks }) => marks)).toEqual([10, 10, 10, 10, 10, 300]);
});

test.each([
  { seed: 1, shards: 1, options: { bars: 500 } },
  { seed: 2, shards: 3, options: { bars: 500 } },
  { seed: 3, shards: 2, options: { symbols: 5, seed: 9, bars: 400 } },
  { seed: 4, shards: 4, options: { symbols: 5, seed: 9, bars: 400 } },
  { seed: 5, shards: 2, options: { symbols: 1, seed: 9, bars: 5_300 } },
])(
  "separate processes that run in any order ($seed) equal the simulation on $shards shards",
  ({ seed, shards, options }) => {
    const expected = simulate({ dataset, ...options });
    const { fills, report, rejected } = distributed({ dataset, ...options }, shards, seed);
    expect(fills).toBe(expected.fills.length);
    expect(rejected).toBe(expected.rejections.length);
    expect({ ...report, duplicates: 0 }).toEqual(expected.report);
    expect(closingReport(report)).toEqual(expected.closing);
    expect(report.duplicates).toBeGreaterThan(0);
  },
);

/**
 * The pipeline as separate actors joined by queues, where chance decides what is delivered next. Queues keep the order
 * of one sender to one receiver, as NATS does; orders and fills are taken out of order, and every fifth fill twice.
 */
function distributed(
  options: SimulateOptions & { readonly bars: number },
  shards: number,
  seed: number,
): { report: PortfolioReport; fills: number; rejected: number } {
  const queues = new Map<string, (() => void)[]>();
  let draws = 0;
  const chance = (below: number): number => Math.floor(uniform(seed, (draws += 1)) * below);
  const send = (queue: string, deliver: () => void): void => {
    const waiting = queues.get(queue);
    if (waiting === undefined) queues.set(queue, [deliver]);
    else waiting.push(deliver);
  };
  const shardOf = (symbol: string): number => symbol.charCodeAt(symbol.length - 1) % shards;
  const sharded = <T>(create: () => T): ((symbol: string) => T) => {
    const instances = Array.from({ length: shards }, create);
    return (symbol) => instances[shardOf(symbol)] ?? create();
  };

  const portfolio = createPortfolio({ capitalCents });
  const technicalOf = sharded(() => createTechnical());
  const riskOf = sharded(() => createRisk());
  const orderInboxes = new Map<string, InOrder<Order>>();
  const orderBag: Order[] = [];
  const fillBag: Fill[] = [];
  let fills = 0;
  let rejected = 0;

  const desks = Object.values(strategies).map((spec) => {
    const join = new EventTimeJoin();
    const strategy = createStrategy(spec, capitalCents);
    return {
      name: spec.name,
      join,
      decide(inputs: ReturnType<EventTimeJoin["pushSignal"]>): void {
        for (const input of inputs) {
          const order = toOrder(strategy.decide(input));
          if (order === undefined) continue;
          orderBag.push(order);
          send("orders", () => assess(takeAny(orderBag)));
        }
      },
    };
  });

  function takeAny<T>(bag: T[]): T {
    const [item] = bag.splice(chance(bag.length), 1);
    if (item === undefined) throw new Error("empty bag");
    return item;
  }

  function assess(order: Order): void {
    const key = bookKey(order);
    const inbox = orderInboxes.get(key) ?? new InOrder<Order>();
    orderInboxes.set(key, inbox);
    for (const next of inbox.push(order.number, order)) {
      const risk = riskOf(next.symbol);
      const answer = risk.assess(next);
      if (answer.status === "rejected") {
        rejected += 1;
        continue;
      }
      fills += 1;
      const copies = fills % 5 === 0 ? 2 : 1;
      for (let copy = 0; copy < copies; copy += 1) {
        fillBag.push(fill(answer.order));
        send("fills", () => {
          const executed = takeAny(fillBag);
          portfolio.apply(executed);
        });
      }
    }
  }

  const calendar = macroCalendar(dataset);
  const fundamental = createFundamental();
  const sentiment = createSentiment();
  const views = (desk: (typeof desks)[number], kind: string, push: () => void): void =>
    send(`views:${kind}:${desk.name}`, push);
  let months = 0;
  for (const instrument of universe(dataset, options)) {
    for (const bar of barsOf(instrument, options.bars)) {
      months = Math.max(months, calendar.monthsBefore(bar.date));
      const { symbol } = bar;
      send(`bars:${symbol}:portfolio`, () => portfolio.mark(bar));
      send(`bars:${symbol}`, () => {
        const signal = technicalOf(symbol).update(bar);
        if (signal === undefined) return;
        for (const desk of desks) {
          send(`signals:${symbol}:${desk.name}`, () => desk.decide(desk.join.pushSignal(signal)));
        }
      });
    }
  }
  const publishFundamental = (ready: ReturnType<typeof fundamental.stocks>): void => {
    for (const view of ready) {
      for (const desk of desks) {
        views(desk, "fundamental", () => desk.decide(desk.join.pushFundamental(view)));
      }
    }
  };
  for (let seq = 0; seq < months; seq += 1) {
    const month = calendar.at(seq);
    send("employment", () => publishFundamental(fundamental.employment(month.employment)));
    send("stocks", () => publishFundamental(fundamental.stocks(month.stocks)));
    send("headlines", () => {
      for (const view of sentiment.update(month.headlines)) {
        for (const desk of desks) {
          views(desk, "sentiment", () => desk.decide(desk.join.pushSentiment(view)));
        }
      }
    });
  }

  while (queues.size > 0) {
    const names = [...queues.keys()];
    const name = names[chance(names.length)] ?? "";
    const queue = queues.get(name) ?? [];
    // A burst, because processes are scheduled for a while rather than message by message.
    for (let burst = 1 + chance(20); burst > 0; burst -= 1) queue.shift()?.();
    if (queue.length === 0) queues.delete(name);
  }
  return { report: portfolio.report(), fills, rejected };
}
