import type { Bar } from "./bar.ts";
import { addDays, dayNumber } from "./calendar.ts";
import { TradingError } from "./errors.ts";
import type { Instrument } from "./instrument.ts";
import { uniform } from "./random.ts";

/** Largest change that the per-bar perturbation makes to a price, in parts per million. */
const PERTURBATION_PPM = 1_000;

/**
 * `count` endless instruments `SYN0001`, … derived from one real daily series, for load. Each starts at its own phase,
 * is scaled to 2 to 100 % of the real level and is perturbed by up to 0.1 % a bar (one factor for all four prices of a
 * bar, so they stay consistent). The same count or a larger one, with the same seed, gives the same instruments.
 *
 * The series is played forwards, then backwards (open and close exchanged), and so on: prices stay continuous and
 * bounded for ever. Dates follow the real calendar and, past its end, continue by whole weeks from its last week.
 */
export function syntheticSymbols(
  count: number,
  seed: number,
  source: readonly Bar[],
): Instrument[] {
  const calendar = endlessDates(source);
  return Array.from({ length: count }, (_, index) => synthetic(index, seed, source, calendar));
}

function synthetic(
  index: number,
  seed: number,
  source: readonly Bar[],
  dateAt: (seq: number) => string,
): Instrument {
  const symbol = `SYN${String(index + 1).padStart(4, "0")}`;
  const phase = Math.floor(uniform(seed, index, 1) * 2 * source.length);
  const scalePpm = 20_000 + Math.floor(uniform(seed, index, 2) * 980_000);
  return {
    symbol,
    interval: "daily",
    length: Infinity,
    bar(seq) {
      const step = (phase + seq) % (2 * source.length);
      const forwards = step < source.length;
      const real = source[forwards ? step : 2 * source.length - 1 - step];
      if (real === undefined) throw new RangeError(`${symbol} has no bar ${seq}`);
      const noisePpm = Math.round((uniform(seed, index, 3, seq) * 2 - 1) * PERTURBATION_PPM);
      const factor = (scalePpm / 1e6) * (1 + noisePpm / 1e6);
      const scaled = (cents: number): number => Math.max(1, Math.round(cents * factor));
      return {
        symbol,
        interval: "daily",
        seq,
        date: dateAt(seq),
        openCents: scaled(forwards ? real.openCents : real.closeCents),
        highCents: scaled(real.highCents),
        lowCents: scaled(real.lowCents),
        closeCents: scaled(forwards ? real.closeCents : real.openCents),
        volume: real.volume,
      };
    },
  };
}

/** Dates of the source; from its end on, the same dates shifted by the whole weeks that the source spans. */
function endlessDates(source: readonly Bar[]): (seq: number) => string {
  const first = source[0];
  const last = source.at(-1);
  if (first === undefined || last === undefined) {
    throw new TradingError("BAD_DATA", "synthetic symbols need a source of at least one bar");
  }
  const span = (Math.floor((dayNumber(last.date) - dayNumber(first.date)) / 7) + 1) * 7;
  return (seq) => {
    const cycle = Math.floor(seq / source.length);
    const date = (source[seq % source.length] ?? first).date;
    return cycle === 0 ? date : addDays(date, cycle * span);
  };
}
