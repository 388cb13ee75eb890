import { expect, test } from "vitest";
import { loadDataset } from "./dataset.ts";
import { createFundamental } from "./fundamental.ts";
import { FundamentalView } from "./fundamental-view.ts";
import { macroCalendar, type MacroMonth } from "./macro.ts";

const calendar = macroCalendar(loadDataset());
const months = Array.from({ length: 245 }, (_, seq) => calendar.at(seq));

function view(views: readonly FundamentalView[], asOf: string): FundamentalView | undefined {
  return views.find((candidate) => candidate.asOf === asOf);
}

test("there is one view for every month of the data, consecutively numbered", () => {
  const views = fold(months);
  expect(views.map(({ seq }) => seq)).toEqual(months.map((_, seq) => seq));
  expect(views[0]).toEqual({
    seq: 0,
    asOf: "1999-12",
    jobsChange: null,
    breadth: null,
    score: 0,
    regime: "neutral",
  });
  expect(views.at(-1)?.asOf).toBe("2020-04");
  for (const each of views) expect(FundamentalView.safeParse(each).error).toBeUndefined();
});

test("the views show the crisis and the recovery", () => {
  const views = fold(months);
  expect(view(views, "2009-02")?.regime).toBe("contraction");
  expect(view(views, "2007-01")?.regime).toBe("expansion");
  // Levels of 2008-10 and 2009-01, published a month later.
  expect(view(views, "2009-02")?.jobsChange).toBeLessThan(-600);
});

test("which source comes first, and in which order, makes no difference", () => {
  const fundamental = createFundamental();
  const early = months.toReversed().flatMap(({ stocks }) => fundamental.stocks(stocks));
  expect(early).toEqual([]);
  const views = months.flatMap(({ employment }) => fundamental.employment(employment));
  expect(views).toEqual(fold(months));
});

test("a source that runs away from the other is an error", () => {
  const fundamental = createFundamental();
  const publish = (): void => {
    for (let seq = 0; seq < 3_000; seq += 1) fundamental.employment(calendar.at(seq).employment);
  };
  expect(publish).toThrow(expect.objectContaining({ code: "BUFFER_FULL" }));
});

function fold(all: readonly MacroMonth[]): FundamentalView[] {
  const fundamental = createFundamental();
  return all.flatMap(({ employment, stocks }) => [
    ...fundamental.employment(employment),
    ...fundamental.stocks(stocks),
  ]);
}
