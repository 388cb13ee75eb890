import { ATR, BollingerBands, RSI, SMA } from "trading-signals";
import * as z from "zod";
import { type Bar, Interval, PriceCents, SymbolName } from "./bar.ts";
import { IsoDate } from "./calendar.ts";

const Indicator = z.number().nullable();

/**
 * What the technical analyst knows at the close of one bar: all that a strategy needs, so strategies keep no bars.
 * Averages, bands and range are in cents (fractions are meaningful); an indicator is null while it warms up.
 */
export const TechnicalSignal = z.object({
  symbol: SymbolName,
  interval: Interval,
  seq: z.int().min(0),
  date: IsoDate,
  closeCents: PriceCents,
  /** Simple moving averages of the close. */
  smaFast: Indicator,
  smaSlow: Indicator,
  /** Relative strength index, 0 to 100 (Wilder 1978). */
  rsi: Indicator,
  /** Bollinger bands: moving average and two population standard deviations around it. */
  bandLower: Indicator,
  bandMiddle: Indicator,
  bandUpper: Indicator,
  /** Average true range (Wilder 1978): the size of a usual move per bar. */
  atr: Indicator,
});
export type TechnicalSignal = z.infer<typeof TechnicalSignal>;

/** Windows in bars. */
export interface TechnicalWindows {
  readonly fast: number;
  readonly slow: number;
  readonly rsi: number;
  readonly bands: number;
  readonly atr: number;
}

/**
 * Textbook windows, not fitted to the data: 50 and 200 days, or three and ten months (Faber 2007), for the averages;
 * Wilder's 14 and Bollinger's 20 days, shortened for monthly bars.
 */
export const defaultWindows: Readonly<Record<Interval, TechnicalWindows>> = {
  daily: { fast: 50, slow: 200, rsi: 14, bands: 20, atr: 14 },
  monthly: { fast: 3, slow: 10, rsi: 6, bands: 10, atr: 6 },
};

export interface Technical {
  /** The signal of this bar; `undefined` for a bar that was folded before. Bars of a symbol must come in order. */
  update(bar: Bar): TechnicalSignal | undefined;
  /** Bars seen twice, and bars that never came: both 0 on a healthy feed. */
  readonly stats: { readonly duplicates: number; readonly missing: number };
}

/** Folds the bars of any number of symbols, each independently of the others. Memory: one window set per symbol. */
export function createTechnical(windows = defaultWindows): Technical {
  const symbols = new Map<string, Indicators>();
  const stats = { duplicates: 0, missing: 0 };
  return {
    stats,
    update(bar) {
      let indicators = symbols.get(bar.symbol);
      if (indicators === undefined) {
        indicators = new Indicators(windows[bar.interval]);
        symbols.set(bar.symbol, indicators);
      }
      if (bar.seq < indicators.nextSeq) {
        stats.duplicates += 1;
        return undefined;
      }
      stats.missing += bar.seq - indicators.nextSeq;
      return indicators.update(bar);
    },
  };
}

class Indicators {
  nextSeq = 0;
  readonly #fast: SMA;
  readonly #slow: SMA;
  readonly #rsi: RSI;
  readonly #bands: BollingerBands;
  readonly #atr: ATR;

  constructor(windows: TechnicalWindows) {
    this.#fast = new SMA(windows.fast);
    this.#slow = new SMA(windows.slow);
    this.#rsi = new RSI(windows.rsi);
    this.#bands = new BollingerBands(windows.bands, 2);
    this.#atr = new ATR(windows.atr);
  }

  update(bar: Bar): TechnicalSignal {
    const { symbol, interval, seq, date, closeCents } = bar;
    this.nextSeq = seq + 1;
    const bands = this.#bands.add(closeCents);
    return {
      symbol,
      interval,
      seq,
      date,
      closeCents,
      smaFast: this.#fast.add(closeCents),
      smaSlow: this.#slow.add(closeCents),
      rsi: this.#rsi.add(closeCents),
      bandLower: bands === null ? null : bands.lower,
      bandMiddle: bands === null ? null : bands.middle,
      bandUpper: bands === null ? null : bands.upper,
      atr: this.#atr.add({ high: bar.highCents, low: bar.lowCents, close: closeCents }),
    };
  }
}
