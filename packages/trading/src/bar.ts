import * as z from "zod";
import { IsoDate } from "./calendar.ts";

/** A symbol as it stands in market data, for example `SPX` or `SYN0007`. */
export const SymbolName = z.string().min(1).max(32);

/** How much time one bar covers. Indicator windows are chosen by it. */
export const Interval = z.enum(["daily", "monthly"]);
export type Interval = z.infer<typeof Interval>;

/** A price in integer cents, at least one cent. */
export const PriceCents = z.int().min(1);

/**
 * One open-high-low-close-volume bar. `seq` counts the bars of one symbol from 0 without gaps; prices are cents; volume
 * is in shares and 0 where the source has none. Monthly bars are dated by the first day of their month, as their source
 * labels them, although their close is the month's last.
 */
export const Bar = z
  .object({
    symbol: SymbolName,
    interval: Interval,
    seq: z.int().min(0),
    date: IsoDate,
    openCents: PriceCents,
    highCents: PriceCents,
    lowCents: PriceCents,
    closeCents: PriceCents,
    volume: z.int().min(0),
  })
  .refine(isConsistent, { error: "low <= open, close <= high must hold" });
export type Bar = z.infer<typeof Bar>;

/** Whether open and close lie between low and high. */
export function isConsistent(bar: {
  openCents: number;
  highCents: number;
  lowCents: number;
  closeCents: number;
}): boolean {
  return (
    bar.lowCents <= Math.min(bar.openCents, bar.closeCents) &&
    bar.highCents >= Math.max(bar.openCents, bar.closeCents)
  );
}
