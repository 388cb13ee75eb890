import { SMA } from "trading-signals";
import { TradingError } from "./errors.ts";
import type { FundamentalView } from "./fundamental-view.ts";
import { InOrder } from "./in-order.ts";
import type { EmploymentRelease, StockCloses } from "./macro.ts";

/** A change of 200,000 jobs a month, a strong month of the period, counts as score 1. */
const STRONG_JOBS_CHANGE = 200;
/** Months in the moving average that a stock has to beat (Faber 2007). */
const BREADTH_WINDOW = 10;
/** Months that one source may run ahead of the other. */
const MAX_AHEAD = 2_400;
/** Scores closer to zero than this are called neutral. */
const NEUTRAL_SCORE = 0.25;

export interface Fundamental {
  /** Views that this message completed, in month order: both sources of a month must have come. */
  employment(release: EmploymentRelease): FundamentalView[];
  stocks(closes: StockCloses): FundamentalView[];
}

export function createFundamental(): Fundamental {
  const releases = new InOrder<EmploymentRelease>();
  const closes = new InOrder<StockCloses>();
  const pendingReleases: EmploymentRelease[] = [];
  const pendingCloses: StockCloses[] = [];
  const jobs = jobsTrend();
  const breadth = breadthTrend();

  function drain(): FundamentalView[] {
    if (Math.max(pendingReleases.length, pendingCloses.length) > MAX_AHEAD) {
      throw new TradingError(
        "BUFFER_FULL",
        `employment and stock months are more than ${MAX_AHEAD} apart`,
      );
    }
    const ready = Math.min(pendingReleases.length, pendingCloses.length);
    const months = pendingCloses.splice(0, ready);
    return pendingReleases.splice(0, ready).map((release, index) => {
      return view(release, jobs(release.nonfarmThousands), breadth(months[index]?.closes ?? []));
    });
  }

  return {
    employment(release) {
      pendingReleases.push(...releases.push(release.seq, release));
      return drain();
    },
    stocks(month) {
      pendingCloses.push(...closes.push(month.seq, month));
      return drain();
    },
  };
}

function view(
  { seq, month }: EmploymentRelease,
  jobsChange: number | null,
  breadth: number | null,
): FundamentalView {
  const parts: number[] = [];
  if (jobsChange !== null) parts.push(Math.max(-1, Math.min(1, jobsChange / STRONG_JOBS_CHANGE)));
  if (breadth !== null) parts.push(2 * breadth - 1);
  const score = parts.length === 0 ? 0 : parts.reduce((sum, part) => sum + part, 0) / parts.length;
  const regime =
    score > NEUTRAL_SCORE ? "expansion" : score < -NEUTRAL_SCORE ? "contraction" : "neutral";
  return { seq, asOf: month, jobsChange, breadth, score, regime };
}

/** Mean change over the last three months; null until four consecutive levels are known. */
function jobsTrend(): (level: number | null) => number | null {
  let levels: number[] = [];
  return (level) => {
    levels = level === null ? [] : [...levels.slice(-3), level];
    const [first, , , last] = levels;
    return first === undefined || last === undefined ? null : (last - first) / 3;
  };
}

/** Share of stocks above their average; a stock without a price starts over. */
function breadthTrend(): (closes: StockCloses["closes"]) => number | null {
  let averages = new Map<string, SMA>();
  return (closes) => {
    averages = new Map(
      closes.map(({ symbol }) => [symbol, averages.get(symbol) ?? new SMA(BREADTH_WINDOW)]),
    );
    let known = 0;
    let above = 0;
    for (const { symbol, closeCents } of closes) {
      const average = averages.get(symbol)?.add(closeCents) ?? null;
      if (average !== null) {
        known += 1;
        above += closeCents > average ? 1 : 0;
      }
    }
    return known === 0 ? null : above / known;
  };
}
