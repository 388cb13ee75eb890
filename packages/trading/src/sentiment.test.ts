import { expect, test } from "vitest";
import { loadDataset } from "./dataset.ts";
import { macroCalendar } from "./macro.ts";
import { createSentiment, lexiconScore } from "./sentiment.ts";
import { SentimentView } from "./sentiment-view.ts";

test("a headline scores the valences of its words, squashed", () => {
  // panic -3, fear -2, losses -3.
  expect(lexiconScore("Panic, fear and losses")).toBeCloseTo(-8 / Math.sqrt(64 + 15), 10);
  expect(lexiconScore("Strong growth")).toBeCloseTo(4 / Math.sqrt(16 + 15), 10);
  expect(lexiconScore("")).toBe(0);
});

test("words that every object has are not mistaken for entries", () => {
  expect(lexiconScore("constructor toString valueOf hasOwnProperty")).toBe(0);
});

test("every month has a view, and the mood lingers and fades", () => {
  const calendar = macroCalendar(loadDataset());
  const sentiment = createSentiment();
  const views = Array.from({ length: 245 }, (_, seq) =>
    sentiment.update(calendar.at(seq).headlines),
  ).flat();
  expect(views.map(({ seq }) => seq)).toEqual(views.map((_, seq) => seq));
  expect(views).toHaveLength(245);
  for (const view of views) expect(SentimentView.safeParse(view).error).toBeUndefined();
  const october = views.find((view) => view.asOf === "2008-10");
  const november = views.find((view) => view.asOf === "2008-11");
  expect(october?.level).toBeLessThan(-0.5);
  expect(november).toMatchObject({ mode: "lexicon", headlines: 0, score: 0 });
  expect(november?.level).toBeCloseTo((october?.level ?? 0) * 0.8, 10);
});

test("somebody else's reading can take the place of the word list's, in whatever order months are read", () => {
  const sentiment = createSentiment();
  const headline = { date: "2000-01-03", text: "anything", provenance: "test" };
  const month = (seq: number) => ({ seq, month: `2000-0${seq + 1}`, headlines: [headline] });
  expect(sentiment.update(month(1), { mode: "lexicon", score: 0, reason: "TIMEOUT" })).toEqual([]);
  expect(sentiment.update(month(0), { mode: "model", score: 1 })).toEqual([
    { seq: 0, asOf: "2000-01", mode: "model", headlines: 1, score: 1, level: 0.5 },
    {
      seq: 1,
      asOf: "2000-02",
      mode: "lexicon",
      reason: "TIMEOUT",
      headlines: 1,
      score: 0,
      level: 0.25,
    },
  ]);
});
