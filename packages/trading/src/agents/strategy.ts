import { agents, OrderDesk } from "../contracts.ts";
import { type Order, type StrategyName, toOrder } from "../decision.ts";
import { EventTimeJoin, type JoinedInput } from "../event-time-join.ts";
import { type LargeOrders, type Review, reviewOf } from "../large-order.ts";
import { nowMicros } from "../micros.ts";
import { defaultRiskLimits } from "../risk.ts";
import { shardsOf } from "../shard.ts";
import { strategies } from "../strategies.ts";
import { createStrategy } from "../strategy.ts";
import { FEEDS, FundamentalViews, SentimentViews, type SignalEvent, Signals } from "../topics.ts";
import { type Arrival, follow } from "./follow.ts";
import { Inflow } from "./inflow.ts";
import { Lanes } from "./lanes.ts";
import type { Part } from "./part.ts";
import { since, type Station } from "./station.ts";

/** Orders that may be under way before signals have to wait. */
const MAX_PENDING = 2_000;
/** An order waits for as long as it takes to bring back whatever it needs. */
const ANSWER_WITHIN = "10m";

/**
 * Decides on the signals of its shards and submits its orders, those of one book one after the other. One that begins anew
 * decides everything again and submits the same orders under the same keys: it gets the answers that are recorded.
 */
export function openStrategy(station: Station, name: StrategyName): Part {
  const { mesh, seat } = station;
  const join = new EventTimeJoin<SignalEvent>();
  const strategy = createStrategy(strategies[name], defaultRiskLimits.capitalCents);
  let largeOrders: LargeOrders | undefined;
  const lanes = new Lanes(MAX_PENDING, (error) => station.fail(error));
  const decisions = {
    hold: station.count("hold"),
    buy: station.count("buy"),
    sell: station.count("sell"),
  };
  const signals = { received: station.received("signals"), hop: station.latency("signals") };
  const views = { received: station.received("views"), hop: station.latency("views") };
  const sent = station.sent("orders");
  const filled = station.count("filled");
  const reduced = station.count("reduced");
  const toDecision = station.latency("decision");
  const toAnswer = station.latency("answers");

  async function submit(
    order: Order,
    review: Review | undefined,
    dueAt: number,
    isNew: boolean,
  ): Promise<void> {
    const sentAt = nowMicros();
    const input = { order, dueAt, sentAt, ...(review && { review }) };
    const task = await mesh.submit(OrderDesk, "execute", input, { key: order.id });
    const answer = await task.result({ timeout: ANSWER_WITHIN });
    if (isNew) toAnswer.observe(since(sentAt));
    station.inflight.value = lanes.pending - 1;
    if (answer.status === "rejected") {
      station.count(`rejected:${answer.reason}`).value += 1;
      return;
    }
    filled.value += 1;
    if (answer.reduced) reduced.value += 1;
  }

  /** A promise that comes back asks to wait with what follows. */
  function decide(
    inputs: readonly JoinedInput<SignalEvent>[],
    isNew: boolean,
  ): Promise<void> | undefined {
    let wait: Promise<void> | undefined;
    for (const input of inputs) {
      const decision = strategy.decide(input);
      const { dueAt } = input.signal;
      if (isNew) {
        station.lastAt = nowMicros();
        toDecision.observe(station.lastAt - dueAt);
      }
      decisions[decision.action].value += 1;
      const order = toOrder(decision);
      if (order === undefined) continue;
      sent.value += 1;
      const review = reviewOf(order, input, largeOrders);
      wait = lanes.add(order.symbol, () => submit(order, review, dueAt, isNew));
      station.inflight.value = lanes.pending;
    }
    return wait;
  }

  function onView(
    { isNew, latencyUs }: Arrival,
    ready: JoinedInput<SignalEvent>[],
  ): Promise<void> | undefined {
    views.received.value += 1;
    if (isNew) views.hop.observe(latencyUs);
    return decide(ready, true);
  }

  /** Every order has its answer. */
  async function settle(): Promise<void> {
    await lanes.idle();
    station.inflight.value = 0;
    station.enter("done");
  }

  return {
    host: () => mesh.host(agents[name], { status: () => station.status() }),
    async prepare({ replicas, shards, largeOrders: limits }) {
      largeOrders = limits;
      const own = shardsOf(seat, shards);
      const inflows = {
        fundamental: new Inflow(station, replicas.fundamental),
        sentiment: new Inflow(station, replicas.sentiment),
        signals: new Inflow(station, own.length * FEEDS.length),
      };

      /** The end is awaited outside of the handler, which must not hold up other events. */
      const checkEnd = (): undefined => {
        if (!Object.values(inflows).every((inflow) => inflow.ended)) return;
        settle().catch((error: unknown) => station.fail(error));
      };
      const followed = await Promise.all([
        follow(station, FundamentalViews, inflows.fundamental, (event, arrival) =>
          event.kind === "end" ? checkEnd() : onView(arrival, join.pushFundamental(event.view)),
        ),
        follow(station, SentimentViews, inflows.sentiment, (event, arrival) =>
          event.kind === "end" ? checkEnd() : onView(arrival, join.pushSentiment(event.view)),
        ),
      ]);
      // Signals wait for views in memory: whoever begins anew has the views first.
      await Promise.all(followed.map(({ caughtUp }) => caughtUp));
      await Promise.all(
        own.map((shard) =>
          follow(
            station,
            Signals,
            inflows.signals,
            (event, { isNew, latencyUs }) => {
              if (event.kind === "end") return checkEnd();
              let wait: Promise<void> | undefined;
              for (const signal of event.signals) {
                signals.received.value += 1;
                if (isNew) signals.hop.observe(latencyUs);
                wait = decide(join.pushSignal(signal), isNew) ?? wait;
              }
              return wait ?? join.room();
            },
            { shard },
          ),
        ),
      );
    },
  };
}
