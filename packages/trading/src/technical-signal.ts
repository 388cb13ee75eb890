import * as z from "zod";
import { Interval, PriceCents, SymbolName } from "./bar.ts";
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
