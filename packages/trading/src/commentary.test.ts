import { expect, test } from "vitest";
import { addMonths } from "./calendar.ts";
import { describeViews, quarterOf } from "./commentary.ts";

test.each(["1999-12", "2000-01", "2000-02"])(
  "quarters are counted from the first that ends, from %s on",
  (first) => {
    const quarters = Array.from({ length: 14 }, (_, seq) => {
      const asOf = addMonths(first, seq);
      return { asOf, quarter: quarterOf({ asOf, seq }) };
    }).filter(({ quarter }) => quarter !== undefined);
    const months = first === "1999-12" ? ["12", "03", "06", "09", "12"] : ["03", "06", "09", "12"];
    expect(quarters.slice(0, months.length).map(({ asOf }) => asOf.slice(5))).toEqual(months);
    expect(quarters.map(({ quarter }) => quarter)).toEqual(quarters.map((_, index) => index));
  },
);

test("the views of a month are told in plain words, and what is unknown is left out", () => {
  const fundamental = {
    seq: 0,
    asOf: "2008-12",
    jobsChange: -650.4,
    breadth: 0.2,
    score: -0.8,
    regime: "contraction",
  } as const;
  const sentiment = {
    seq: 0,
    asOf: "2008-12",
    mode: "model",
    headlines: 1,
    score: -1,
    level: -0.6,
  } as const;
  expect(describeViews({ fundamental, sentiment })).toBe(
    "2008-12: economy in contraction (-0.80), employment -650 thousand a month, 20 % of the stocks in an uptrend; mood of the news bad (-0.60).",
  );
  const unknown = { ...fundamental, jobsChange: null, breadth: null };
  expect(describeViews({ fundamental: unknown, sentiment: { ...sentiment, level: 0 } })).toBe(
    "2008-12: economy in contraction (-0.80); mood of the news mixed (+0.00).",
  );
});
