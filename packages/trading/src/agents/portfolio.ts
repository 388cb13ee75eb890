import { Bars, Books, FEEDS_PER_SHARD, Portfolio } from "../contracts.ts";
import { loadDataset } from "../dataset.ts";
import { feedSchedule } from "../feed-schedule.ts";
import { createPortfolio } from "../portfolio.ts";
import type { PortfolioReport } from "../report.ts";
import { defaultRiskLimits } from "../risk.ts";
import { shardOf } from "../shard.ts";
import { BACKLOG } from "./backlog.ts";
import { EXECUTION } from "./execution.ts";
import { Ownership } from "./ownership.ts";
import type { Part } from "./part.ts";
import { since, type Station } from "./station.ts";

/** Symbols per part of a report, so that no part comes near the broker's limit on messages. */
const SYMBOLS_PER_PART = 200;

/** Keeps the books of the symbols that the ring gives to this instance, valued at every bar of theirs. */
export function openPortfolio(station: Station): Part {
  const { mesh } = station;
  const { capitalCents } = defaultRiskLimits;
  const portfolio = createPortfolio({ capitalCents });
  const marks = { received: station.received("marks"), hop: station.latency("marks") };
  const fills = { received: station.received("fills"), hop: station.latency("fills") };
  const toBook = station.latency("booked");
  let open = 0;
  let instance = "";
  let ownership: Ownership | undefined;

  /** Shards are shared by bars of several symbols, so some that arrive belong to another instance. */
  async function follow(shard: number, own: Ownership): Promise<void> {
    const inflow = station.inflow(FEEDS_PER_SHARD);
    await mesh.subscribe(
      Bars,
      (event, context) => {
        if (event.kind === "end") {
          if (!inflow.end(context)) return;
          open -= 1;
          if (open === 0) station.enter("done");
          return;
        }
        if (!inflow.item(context) || !own.has(event.symbol)) return;
        marks.received.value += 1;
        marks.hop.observe(since(context.sentAt));
        portfolio.mark(event);
      },
      { where: { shard }, queue: BACKLOG },
    );
  }

  return {
    async host() {
      const hosted = await mesh.host(
        Portfolio,
        {
          status: () => station.status(),
          book({ fill, dueAt, sentAt }) {
            ownership?.require(fill.symbol);
            fills.hop.observe(since(sentAt));
            const outcome = portfolio.apply(fill);
            if (outcome === "duplicate") station.duplicates.value += 1;
            else {
              fills.received.value += 1;
              toBook.observe(since(dueAt));
            }
            return outcome;
          },
          report: () => portfolio.report(),
        },
        EXECUTION,
      );
      instance = hosted.info.instance;
      return hosted;
    },
    async prepare(plan) {
      await mesh.waitFor(Portfolio, { instances: plan.replicas.portfolio });
      const own = new Ownership(mesh, Portfolio.name, instance);
      ownership = own;
      const { instruments } = feedSchedule(loadDataset(), plan);
      const symbols = instruments.map(({ symbol }) => symbol).filter((symbol) => own.has(symbol));
      const shards = [...new Set(symbols.map((symbol) => shardOf(symbol, plan.shards)))];
      open = shards.length;
      if (open === 0) station.enter("done");
      await Promise.all(shards.map((shard) => follow(shard, own)));
    },
    async finish() {
      const parts = split(portfolio.report());
      for (const [part, report] of parts.entries()) {
        const seat = station.name;
        // oxlint-disable-next-line no-await-in-loop -- in order, and no faster than the broker takes them
        await mesh.publish(Books, { seat, part, parts: parts.length, report });
      }
    },
  };
}

/** A report as several that add up to it: books by symbol, everything else in the first part. */
function split(report: PortfolioReport): PortfolioReport[] {
  const parts: PortfolioReport[] = [];
  for (let from = 0; from === 0 || from < report.symbols.length; from += SYMBOLS_PER_PART) {
    const symbols = report.symbols.slice(from, from + SYMBOLS_PER_PART);
    const names = new Set(symbols.map(({ symbol }) => symbol));
    const books = report.books.filter(({ symbol }) => names.has(symbol));
    const rest = { changeByMonth: {}, duplicates: 0, held: 0, lateFills: 0 };
    parts.push({ ...(from === 0 ? report : rest), symbols, books });
  }
  return parts;
}
