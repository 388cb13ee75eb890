import * as z from "zod";
import { PriceCents, SymbolName } from "./bar.ts";
import { addMonths, IsoMonth, monthIndex, monthOf } from "./calendar.ts";
import { type Dataset, firstMonth } from "./dataset.ts";
import { Headline } from "./headlines-sample.ts";
import { TradingError } from "./errors.ts";

const Monthly = { seq: z.int().min(0), month: IsoMonth };

/**
 * What the employment report published in `month` says about the month before it (the real report appears in the first
 * week), in thousands of persons; null where the data has none. Revisions are not modelled.
 */
export const EmploymentRelease = z.object({ ...Monthly, nonfarmThousands: z.int().nullable() });
export type EmploymentRelease = z.infer<typeof EmploymentRelease>;

/** Closes of the monthly stocks at the end of `month`; empty where the data has none. */
export const StockCloses = z.object({
  ...Monthly,
  closes: z.array(z.object({ symbol: SymbolName, closeCents: PriceCents })),
});
export type StockCloses = z.infer<typeof StockCloses>;

/** The headlines of `month`; mostly empty. */
export const HeadlineDigest = z.object({ ...Monthly, headlines: z.array(Headline) });
export type HeadlineDigest = z.infer<typeof HeadlineDigest>;

/** Everything that is published once a month, under one number. */
export const MacroMonth = z.object({
  employment: EmploymentRelease,
  stocks: StockCloses,
  headlines: HeadlineDigest,
});
export type MacroMonth = z.infer<typeof MacroMonth>;

/**
 * The endless monthly calendar. Number 0 is the month before the first daily bar, so that the bars of the first month
 * already have their predecessor. Past the end of the data the months repeat under new dates, as the synthetic bars do.
 */
export interface MacroCalendar {
  at(seq: number): MacroMonth;
  /** How many months must be published before bars of `date` can be processed: those up to the month before it. */
  monthsBefore(date: string): number;
}

export function macroCalendar(dataset: Dataset): MacroCalendar {
  const start = addMonths(firstMonth(dataset), -1);
  const last = dataset.index.at(-1);
  if (last === undefined) throw new TradingError("BAD_DATA", "the daily series is empty");
  const cycle = monthIndex(last.date) - monthIndex(start) + 1;
  const closes = closesByMonth(dataset);
  const headlines = Map.groupBy(dataset.headlines, (headline) => monthOf(headline.date));
  return {
    at(seq) {
      const month = addMonths(start, seq);
      const source = addMonths(start, seq % cycle);
      return {
        employment: {
          seq,
          month,
          nonfarmThousands: dataset.employment.get(addMonths(source, -1)) ?? null,
        },
        stocks: { seq, month, closes: closes.get(source) ?? [] },
        headlines: {
          seq,
          month,
          headlines: (headlines.get(source) ?? []).map(({ date, text, provenance }) => {
            // Months differ in length, so a repeated headline never moves past the 28th.
            const day = source === month ? date.slice(8) : earlier(date.slice(8), "28");
            return { date: `${month}-${day}`, text, provenance };
          }),
        },
      };
    },
    monthsBefore: (date) => Math.max(0, monthIndex(date) - monthIndex(start)),
  };
}

function closesByMonth(dataset: Dataset): Map<string, StockCloses["closes"]> {
  const byMonth = new Map<string, StockCloses["closes"]>();
  for (const bar of [...dataset.stocks.values()].flat()) {
    const month = monthOf(bar.date);
    const closes = byMonth.get(month) ?? [];
    byMonth.set(month, closes);
    closes.push({ symbol: bar.symbol, closeCents: bar.closeCents });
  }
  return byMonth;
}

function earlier(a: string, b: string): string {
  return a < b ? a : b;
}
