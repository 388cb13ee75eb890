import { expect, test } from "vitest";
import { loadDataset, parseEmployment, parseIndexBars, parseStockBars } from "./dataset.ts";
import { sampleHeadlines } from "./headlines-sample.ts";

const HEADER = "date,open,high,low,close,adjclose,volume";
const ROW = "2000-01-03,1469.25,1478.00,1438.359985,1455.219971,1455.219971,931800000";

test("the installed data has the bars it is known for", () => {
  const { index, stocks, employment } = loadDataset();
  expect(index).toHaveLength(5_105);
  expect(index[0]).toEqual({
    symbol: "SPX",
    interval: "daily",
    seq: 0,
    date: "2000-01-03",
    openCents: 146_925,
    highCents: 147_800,
    lowCents: 143_836,
    closeCents: 145_522,
    volume: 931_800_000,
  });
  expect(index.at(-1)).toMatchObject({ seq: 5_104, date: "2020-04-17", closeCents: 287_456 });
  expect([...stocks].map(([symbol, bars]) => [symbol, bars.length])).toEqual([
    ["MSFT", 123],
    ["AMZN", 123],
    ["IBM", 123],
    ["GOOG", 68],
    ["AAPL", 123],
  ]);
  expect(stocks.get("AAPL")?.at(-1)).toMatchObject({ date: "2010-03-01", closeCents: 22_302 });
  expect([...employment][0]).toEqual(["2006-01", 135_450]);
  expect(employment.size).toBe(120);
});

test("every sample headline says that it is not real news", () => {
  expect(new Set(sampleHeadlines.map((headline) => headline.provenance))).toEqual(
    new Set(["hand-written sample data, not real news"]),
  );
  const dates = sampleHeadlines.map((headline) => headline.date);
  expect(dates).toEqual(dates.toSorted());
});

test("a last line without line end and lines ended by CRLF are read", () => {
  expect(parseIndexBars(`${HEADER}\n${ROW}`)).toHaveLength(1);
  expect(parseIndexBars(`${HEADER}\r\n${ROW}\r\n`)).toHaveLength(1);
});

test.each([
  [
    `date,open,high,low,close\n`,
    'line 1, column volume: missing from the header "date,open,high,low,close"',
  ],
  ["", 'line 1, column date: missing from the header ""'],
  [`${HEADER}\n2000-01-03,1,1`, "line 2, column low: expected 7 fields, found 3"],
  [`${HEADER}\n${ROW}\n\n${ROW}`, "line 3, column open: expected 7 fields, found 1"],
  [
    `${HEADER}\n${ROW.replace("1478.00", "n/a")}`,
    'line 2, column high: expected a price above zero, found "n/a"',
  ],
  [
    `${HEADER}\n${ROW.replace("1478.00", "0")}`,
    'line 2, column high: expected a price above zero, found "0"',
  ],
  [
    `${HEADER}\n${ROW.replace("1478.00", "1")}`,
    "line 2, column high: open and close must lie between low and high",
  ],
  [
    `${HEADER}\n${ROW.replace("01-03", "02-30")}`,
    'line 2, column date: expected yyyy-mm-dd, found "2000-02-30"',
  ],
  [
    `${HEADER}\n${ROW.replace("931800000", "9.3e8")}`,
    'line 2, column volume: expected a whole number, found "9.3e8"',
  ],
  [
    `${HEADER}\n${ROW.replace("2000-01-03", '"2000-01-03"')}`,
    "line 2, column date: quoted fields are not supported",
  ],
  [`${HEADER}\n${ROW}\n${ROW}`, "line 3, column date: 2000-01-03 does not come after 2000-01-03"],
])("malformed daily bars are refused with file, line and column (%#)", (text, problem) => {
  expect(() => parseIndexBars(text, "x.csv")).toThrow(
    expect.objectContaining({ code: "BAD_DATA", message: `x.csv, ${problem}` }),
  );
});

test.each([
  [
    "symbol,date,price\nMSFT,Foo 1 2000,1",
    'line 2, column date: expected "Mon 1 yyyy", found "Foo 1 2000"',
  ],
  [
    "symbol,date,price\nMSFT,Jan 2 2000,1",
    'line 2, column date: expected "Mon 1 yyyy", found "Jan 2 2000"',
  ],
  ["symbol,date,price\n,Jan 1 2000,1", 'line 2, column symbol: expected a symbol, found ""'],
  [
    "symbol,date,price\nMSFT,Jan 1 2000,1\nMSFT,Mar 1 2000,1",
    "line 3, column date: 2000-03 does not follow 2000-01 of MSFT",
  ],
])("malformed monthly prices are refused (%#)", (text, problem) => {
  expect(() => parseStockBars(text)).toThrow(`stocks.csv, ${problem}`);
});

test("a month of employment that appears twice is refused", () => {
  const text = "month,nonfarm\n2006-01-01,5\n2006-01-01,6\n";
  expect(() => parseEmployment(text)).toThrow("us-employment.csv, line 3, column month");
});
