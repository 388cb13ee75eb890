import type { Bar, Interval } from "./bar.ts";
import type { Dataset } from "./dataset.ts";

/** A symbol and its bars by number. */
export interface Instrument {
  readonly symbol: string;
  readonly interval: Interval;
  /** How many bars there are; `Infinity` for synthetic instruments. */
  readonly length: number;
  /** Bar number `seq`, 0 <= seq < length. Always the same bar for the same number. */
  bar(seq: number): Bar;
}

/** The real instruments: `SPX` daily and the five monthly stocks, in the order of the files. */
export function realInstruments(dataset: Dataset): Instrument[] {
  return [dataset.index, ...dataset.stocks.values()].flatMap((bars) => {
    const first = bars[0];
    return first === undefined ? [] : [recorded(first, bars)];
  });
}

function recorded(first: Bar, bars: readonly Bar[]): Instrument {
  return {
    symbol: first.symbol,
    interval: first.interval,
    length: bars.length,
    bar(seq) {
      const bar = bars[seq];
      if (bar === undefined) throw new RangeError(`${first.symbol} has no bar ${seq}`);
      return bar;
    },
  };
}

/** The bars of one instrument in order, at most `limit`; endless for a synthetic instrument without a limit. */
export function* barsOf(instrument: Instrument, limit = Infinity): Generator<Bar, void, undefined> {
  const end = Math.min(limit, instrument.length);
  for (let seq = 0; seq < end; seq += 1) yield instrument.bar(seq);
}
