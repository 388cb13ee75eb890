import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Bar, isConsistent } from "./bar.ts";
import { IsoDate, monthIndex, monthOf } from "./calendar.ts";
import { parseCsv } from "./csv.ts";
import { TradingError } from "./errors.ts";
import { type Headline, sampleHeadlines } from "./headlines-sample.ts";
import { decimalToCents } from "./money.ts";

/** Everything the market-data processes replay. */
export interface Dataset {
  /** Daily bars of the S&P 500, symbol `SPX`, 2000-01-03 to 2020-04-17. */
  readonly index: readonly Bar[];
  /** Monthly bars by symbol, split-adjusted closes; the source gives one price, so open = high = low = close. */
  readonly stocks: ReadonlyMap<string, readonly Bar[]>;
  /** US nonfarm employment by reference month, in thousands of persons. */
  readonly employment: ReadonlyMap<string, number>;
  readonly headlines: readonly Headline[];
}

/** Reads the data files from the installed `vega-datasets` package (about 30 ms). Throws `BAD_DATA`. */
export function loadDataset(directory: string = dataDirectory()): Dataset {
  const read = (file: string): string => readFileSync(join(directory, file), "utf8");
  return {
    index: parseIndexBars(read("sp500-2000.csv")),
    stocks: parseStockBars(read("stocks.csv")),
    employment: parseEmployment(read("us-employment.csv")),
    headlines: sampleHeadlines,
  };
}

/** The package exports no data file and no package.json, so the directory is found from its entry point. */
function dataDirectory(): string {
  const entry = fileURLToPath(import.meta.resolve("vega-datasets"));
  return join(dirname(entry), "..", "data");
}

/** Daily bars from `sp500-2000.csv`; dates must ascend. */
export function parseIndexBars(text: string, file = "sp500-2000.csv"): Bar[] {
  const columns = ["date", "open", "high", "low", "close", "volume"];
  let previous = "";
  return parseCsv(file, text, columns).map((row, seq) => {
    const price = (column: string): number =>
      row.parse(column, "a price above zero", positiveCents);
    const bar: Bar = {
      symbol: "SPX",
      interval: "daily",
      seq,
      date: row.parse("date", "yyyy-mm-dd", isoDate),
      openCents: price("open"),
      highCents: price("high"),
      lowCents: price("low"),
      closeCents: price("close"),
      volume: row.parse("volume", "a whole number", wholeNumber),
    };
    if (bar.date <= previous) row.fail("date", `${bar.date} does not come after ${previous}`);
    if (!isConsistent(bar)) row.fail("high", "open and close must lie between low and high");
    previous = bar.date;
    return bar;
  });
}

/** Monthly bars by symbol from `stocks.csv`, whose dates read `Jan 1 2000`; months of a symbol must be consecutive. */
export function parseStockBars(text: string, file = "stocks.csv"): Map<string, Bar[]> {
  const bySymbol = new Map<string, Bar[]>();
  for (const row of parseCsv(file, text, ["symbol", "date", "price"])) {
    const symbol = row.parse("symbol", "a symbol", (field) =>
      /^[A-Z]+$/.test(field) ? field : undefined,
    );
    const date = row.parse("date", '"Mon 1 yyyy"', firstOfMonth);
    const cents = row.parse("price", "a price above zero", positiveCents);
    const bars = bySymbol.get(symbol) ?? [];
    bySymbol.set(symbol, bars);
    const last = bars.at(-1);
    if (last !== undefined && monthIndex(date) !== monthIndex(last.date) + 1) {
      row.fail("date", `${monthOf(date)} does not follow ${monthOf(last.date)} of ${symbol}`);
    }
    bars.push({
      symbol,
      interval: "monthly",
      seq: bars.length,
      date,
      openCents: cents,
      highCents: cents,
      lowCents: cents,
      closeCents: cents,
      volume: 0,
    });
  }
  return bySymbol;
}

/** Nonfarm employment by month from `us-employment.csv`, thousands of persons. */
export function parseEmployment(text: string, file = "us-employment.csv"): Map<string, number> {
  const byMonth = new Map<string, number>();
  for (const row of parseCsv(file, text, ["month", "nonfarm"])) {
    const month = monthOf(row.parse("month", "yyyy-mm-01", isoDate));
    if (byMonth.has(month)) row.fail("month", `${month} appears twice`);
    byMonth.set(month, row.parse("nonfarm", "a whole number", wholeNumber));
  }
  return byMonth;
}

/** The first bar's month of the daily series; the calendar of every other series hangs on it. */
export function firstMonth(dataset: Dataset): string {
  const first = dataset.index[0];
  if (first === undefined) throw new TradingError("BAD_DATA", "the daily series is empty");
  return monthOf(first.date);
}

function positiveCents(text: string): number | undefined {
  const cents = decimalToCents(text);
  return cents === undefined || cents === 0 ? undefined : cents;
}

function wholeNumber(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function isoDate(text: string): string | undefined {
  return IsoDate.safeParse(text).success ? text : undefined;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

function firstOfMonth(text: string): string | undefined {
  const match = /^([A-Z][a-z]{2}) 1 (\d{4})$/.exec(text);
  const month = MONTHS.indexOf(match?.[1] ?? "") + 1;
  return match === null || month === 0
    ? undefined
    : `${match[2]}-${String(month).padStart(2, "0")}-01`;
}
