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

test("another scorer can take the place of the word list", () => {
  const sentiment = createSentiment(() => 1, "model");
  const headline = { date: "2000-01-03", text: "anything", provenance: "test" };
  expect(sentiment.update({ seq: 0, month: "2000-01", headlines: [headline] })).toEqual([
    { seq: 0, asOf: "2000-01", mode: "model", headlines: 1, score: 1, level: 0.5 },
  ]);
});
