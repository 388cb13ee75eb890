import { expect, test } from "vitest";
import { loadDataset } from "./dataset.ts";
import { barsBefore, feedSchedule } from "./feed-schedule.ts";

const dataset = loadDataset();

test("real bars come by date, each instrument's in order, none left out", () => {
  const schedule = feedSchedule(dataset, { symbols: 0, seed: 1 });
  expect(schedule.length).toBe(5_665);
  const next = new Map<string, number>();
  let date = "";
  for (let position = 0; position < schedule.length; position += 1) {
    const { instrument, seq } = schedule.at(position);
    expect(seq).toBe(next.get(instrument.symbol) ?? 0);
    next.set(instrument.symbol, seq + 1);
    const bar = instrument.bar(seq);
    expect(bar.date >= date).toBe(true);
    date = bar.date;
  }
  expect(next.get("SPX")).toBe(5_105);
  expect(() => schedule.at(5_665)).toThrow(RangeError);
});

test("synthetic symbols take turns, and those of one turn share their date", () => {
  const schedule = feedSchedule(dataset, { symbols: 7, seed: 3 });
  expect(schedule.length).toBe(Infinity);
  const turn = Array.from({ length: schedule.stride }, (_, index) => schedule.at(70 + index));
  expect(new Set(turn.map(({ instrument }) => instrument.symbol)).size).toBe(7);
  expect(new Set(turn.map(({ instrument, seq }) => instrument.bar(seq).date)).size).toBe(1);
});

test("a run that stops early equals a simulation of as many bars per symbol", () => {
  const bars = barsBefore(feedSchedule(dataset, { symbols: 3, seed: 1 }), 10);
  expect(["SYN0001", "SYN0002", "SYN0003", "SPX"].map(bars)).toEqual([4, 3, 3, 0]);
});
