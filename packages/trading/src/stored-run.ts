import type { Mesh } from "@plexus/mesh";
import { Inflow } from "./agents/inflow.ts";
import { type Recorded, recorded } from "./agents/recorded.ts";
import type { Note } from "./commentary.ts";
import { Portfolio } from "./contracts.ts";
import { bookKey, StrategyName } from "./decision.ts";
import type { Fill } from "./fill.ts";
import { createPortfolio } from "./portfolio.ts";
import type { PortfolioReport } from "./report.ts";
import { defaultRiskLimits } from "./risk.ts";
import type { SentimentView } from "./sentiment-view.ts";
import { Bars, Commentary, SentimentViews } from "./topics.ts";

/** Books that are asked for their fills at a time. */
const AT_ONCE = 64;

/** What the broker holds of a run that has ended: the only thing that its report goes by. */
export interface StoredRun {
  /** The recorded fills of all books, valued at the stored bars. */
  readonly report: PortfolioReport;
  readonly bars: number;
  readonly fills: number;
  /** Fills of orders that have another one. */
  readonly surplusFills: number;
  /** Events of bars that are stored twice, and that are missing before later ones. */
  readonly duplicates: number;
  readonly missing: number;
  /** Views of all months and notes about all quarters, in order. */
  readonly moods: readonly Recorded<SentimentView>[];
  readonly notes: readonly Recorded<Note>[];
}

/**
 * Reads the ledger and the bars of a run back from the broker and values every book at every close. Rejects like commands and
 * subscriptions do.
 */
export async function readStoredRun(mesh: Mesh, symbols: readonly string[]): Promise<StoredRun> {
  const portfolio = createPortfolio({ capitalCents: defaultRiskLimits.capitalCents });
  const books = symbols.flatMap((symbol) =>
    StrategyName.options.map((strategy) => bookKey({ strategy, symbol })),
  );
  const orders = new Set<string>();
  let fills = 0;
  async function take(): Promise<void> {
    for (let key = books.pop(); key !== undefined; key = books.pop()) {
      // One after the other; several do this side by side.
      for (const fill of await fillsOf(mesh, key)) {
        portfolio.apply(fill); // before any close, so that none comes too late for it
        orders.add(fill.orderId);
        fills += 1;
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, take));

  const seen = {
    handled: new Map<string, number>(),
    duplicates: { value: 0 },
    missing: { value: 0 },
  };
  const inflow = new Inflow(seen, Infinity);
  let bars = 0;
  await using replay = await mesh.subscribe(
    Bars,
    (event, { subject }) => {
      if (inflow.take(subject, event) === "repeated" || event.kind === "end") return;
      for (const bar of event.bars) portfolio.mark(bar);
      bars += event.bars.length;
    },
    { from: "all" },
  );
  await replay.caughtUp;
  return {
    report: portfolio.report(),
    bars,
    fills,
    surplusFills: fills - orders.size,
    duplicates: seen.duplicates.value,
    missing: seen.missing.value,
    moods: (await recorded(mesh, SentimentViews))
      .flatMap(({ event, at }) => (event.kind === "end" ? [] : [{ event: event.view, at }]))
      .toSorted((a, b) => a.event.seq - b.event.seq),
    notes: (await recorded(mesh, Commentary))
      .flatMap(({ event, at }) => (event.kind === "end" ? [] : [{ event: event.note, at }]))
      .toSorted((a, b) => a.event.seq - b.event.seq),
  };
}

async function fillsOf(mesh: Mesh, key: string): Promise<Fill[]> {
  const book = mesh.get(Portfolio, key);
  const all: Fill[] = [];
  for (;;) {
    const { fills, total } = await book.fills({ from: all.length });
    all.push(...fills);
    if (all.length >= total || fills.length === 0) return all;
  }
}
