import {
  agents,
  bySymbol,
  FundamentalViews,
  Risk,
  SentimentViews,
  type SignalEvent,
  Signals,
} from "../contracts.ts";
import { type Order, type StrategyName, toOrder } from "../decision.ts";
import { EventTimeJoin, type JoinedInput } from "../event-time-join.ts";
import { nowMicros } from "../micros.ts";
import { defaultRiskLimits } from "../risk.ts";
import { shardsOf } from "../shard.ts";
import { strategies } from "../strategies.ts";
import { createStrategy } from "../strategy.ts";
import { BACKLOG } from "./backlog.ts";
import type { Inflow } from "./inflow.ts";
import { Lanes } from "./lanes.ts";
import type { Part } from "./part.ts";
import { persist } from "./persist.ts";
import { since, type Station } from "./station.ts";

/** Orders that may be under way before signals have to wait. */
const MAX_PENDING = 2_000;

/** Decides on the signals of its shards and sends its orders to risk, those of one book one after the other. */
export function openStrategy(station: Station, name: StrategyName): Part {
  const { mesh, seat } = station;
  const risk = mesh.get(Risk, bySymbol);
  const join = new EventTimeJoin<SignalEvent>();
  const strategy = createStrategy(strategies[name], defaultRiskLimits.capitalCents);
  const lanes = new Lanes(MAX_PENDING, (error) => station.fail(error));
  const decisions = {
    hold: station.count("hold"),
    buy: station.count("buy"),
    sell: station.count("sell"),
  };
  const signals = { received: station.received("signals"), hop: station.latency("signals") };
  const views = { received: station.received("views"), hop: station.latency("views") };
  const sent = station.sent("orders");
  const reduced = station.count("reduced");
  const toDecision = station.latency("decision");
  const inflows: Inflow[] = [];

  async function submit(order: Order, dueAt: number): Promise<void> {
    const answer = await persist(() =>
      risk.submit({ order, dueAt, sentAt: nowMicros() }, { key: order.symbol }),
    );
    station.inflight.value = lanes.pending - 1;
    if (answer.status === "rejected") {
      station.count(`rejected:${answer.reason}`).value += 1;
      return;
    }
    if (answer.reduced) reduced.value += 1;
  }

  function decide(inputs: readonly JoinedInput<SignalEvent>[]): Promise<void> | undefined {
    let wait: Promise<void> | undefined;
    for (const input of inputs) {
      const decision = strategy.decide(input);
      const now = nowMicros();
      const { dueAt } = input.signal;
      toDecision.observe(now - dueAt);
      station.lastAt = now;
      decisions[decision.action].value += 1;
      const order = toOrder(decision);
      if (order === undefined) continue;
      sent.value += 1;
      wait = lanes.add(order.symbol, () => submit(order, dueAt));
      station.inflight.value = lanes.pending;
    }
    return wait;
  }

  async function checkEnd(): Promise<void> {
    if (!inflows.every((inflow) => inflow.ended)) return;
    await lanes.idle();
    station.inflight.value = 0;
    station.enter("done");
  }

  function follow(endsExpected: number): Inflow {
    const inflow = station.inflow(endsExpected);
    inflows.push(inflow);
    return inflow;
  }

  async function followSignals(shard: number): Promise<void> {
    const inflow = follow(1);
    await mesh.subscribe(
      Signals,
      (event, context) => {
        if (event.kind === "end") {
          if (inflow.end(context)) leave(checkEnd());
          return undefined;
        }
        if (!inflow.item(context)) return undefined;
        signals.received.value += 1;
        signals.hop.observe(since(context.sentAt));
        return decide(join.pushSignal(event));
      },
      { where: { shard }, queue: BACKLOG },
    );
  }

  /** The end is awaited outside of the handler, which must not hold up other events. */
  function leave(work: Promise<void>): void {
    work.catch((error: unknown) => station.fail(error));
  }

  return {
    host: () => mesh.host(agents[name], { status: () => station.status() }),
    async prepare({ replicas, shards }) {
      const fundamental = follow(replicas.fundamental);
      const sentiment = follow(replicas.sentiment);
      await Promise.all([
        ...shardsOf(seat, shards).map(followSignals),
        mesh.subscribe(FundamentalViews, (event, context) => {
          if (event.kind === "end") {
            if (fundamental.end(context)) leave(checkEnd());
            return undefined;
          }
          if (!fundamental.item(context)) return undefined;
          views.received.value += 1;
          views.hop.observe(since(context.sentAt));
          return decide(join.pushFundamental(event));
        }),
        mesh.subscribe(SentimentViews, (event, context) => {
          if (event.kind === "end") {
            if (sentiment.end(context)) leave(checkEnd());
            return undefined;
          }
          if (!sentiment.item(context)) return undefined;
          views.received.value += 1;
          views.hop.observe(since(context.sentAt));
          return decide(join.pushSentiment(event));
        }),
        mesh.waitFor(Risk, { instances: replicas.risk }),
      ]);
    },
  };
}
