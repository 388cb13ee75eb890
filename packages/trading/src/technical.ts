import { ATR, BollingerBands, RSI } from "trading-signals";
import type { Bar, Interval } from "./bar.ts";
import { RollingMean } from "./rolling-mean.ts";
import type { TechnicalSignal } from "./technical-signal.ts";

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
  readonly #fast: RollingMean;
  readonly #slow: RollingMean;
  readonly #rsi: RSI;
  readonly #bands: BollingerBands;
  readonly #atr: ATR;

  constructor(windows: TechnicalWindows) {
    this.#fast = new RollingMean(windows.fast);
    this.#slow = new RollingMean(windows.slow);
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
