import { expect, test } from "vitest";
import { IsoDate } from "./calendar.ts";
import { loadDataset } from "./dataset.ts";
import { HeadlineDigest, macroCalendar } from "./macro.ts";

const calendar = macroCalendar(loadDataset());

test("month 0 is the one before the first daily bar", () => {
  expect(calendar.at(0).employment).toEqual({ seq: 0, month: "1999-12", nonfarmThousands: null });
  expect(calendar.monthsBefore("2000-01-03")).toBe(1);
  expect(calendar.monthsBefore("2000-02-01")).toBe(2);
});

test("employment is published in the month after the one it describes", () => {
  const seq = calendar.monthsBefore("2006-03-01");
  expect(calendar.at(seq - 1).employment).toEqual({
    seq: 74,
    month: "2006-02",
    nonfarmThousands: 135_450,
  });
});

test("stocks are listed from their first month on", () => {
  expect(symbols("2000-01-01")).toEqual(["MSFT", "AMZN", "IBM", "AAPL"]);
  expect(symbols("2004-08-01")).toContain("GOOG");
  expect(symbols("2010-04-01")).toEqual([]);
});

test("months are numbered without gaps for ever, with headlines re-dated into them", () => {
  let headlines = 0;
  for (let seq = 0; seq < 800; seq += 1) {
    const { employment, stocks, headlines: digest } = calendar.at(seq);
    expect([employment.seq, stocks.seq, digest.seq]).toEqual([seq, seq, seq]);
    expect(HeadlineDigest.safeParse(digest).success).toBe(true);
    for (const { date } of digest.headlines) {
      expect(IsoDate.safeParse(date).success && date.startsWith(digest.month)).toBe(true);
      headlines += 1;
    }
  }
  expect(headlines).toBeGreaterThan(150);
});

function symbols(date: string): string[] {
  return calendar.at(calendar.monthsBefore(date)).stocks.closes.map((close) => close.symbol);
}
