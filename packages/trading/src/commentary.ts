import * as z from "zod";
import { IsoMonth, monthIndex } from "./calendar.ts";
import type { Views } from "./monthly-views.ts";

/** What the desk says about a quarter, for people. Nobody trades on it. */
export const Note = z.object({
  /** Quarters are numbered from 0. */
  seq: z.int().min(0),
  asOf: IsoMonth,
  /** Who wrote it: a template (the degraded mode) or a language model. */
  mode: z.enum(["template", "model"]),
  /** Why a model that was there did not write it: an error code. */
  reason: z.string().optional(),
  text: z.string().min(1),
});
export type Note = z.infer<typeof Note>;

/**
 * The number of the quarter that a month ends, counted from 0 as the first one that ends in the run; undefined for other months.
 * @param view of the month: number 0 is that of the first month of the run
 */
export function quarterOf({
  asOf,
  seq,
}: {
  readonly asOf: string;
  readonly seq: number;
}): number | undefined {
  const ended = Math.floor((monthIndex(asOf) + 1) / 3);
  const before = Math.floor((monthIndex(asOf) - seq) / 3);
  return (monthIndex(asOf) + 1) % 3 === 0 ? ended - before - 1 : undefined;
}

/** The views of a month in plain words: what the template says, and what a model is given. */
export function describeViews({ fundamental, sentiment }: Views): string {
  const { asOf, regime, score, jobsChange, breadth } = fundamental;
  const facts = [
    jobsChange === null ? undefined : `employment ${signed(jobsChange)} thousand a month`,
    breadth === null ? undefined : `${Math.round(breadth * 100)} % of the stocks in an uptrend`,
  ].filter((fact) => fact !== undefined);
  const economy = [`${regime} (${signed(score, 2)})`, ...facts].join(", ");
  return `${asOf}: economy in ${economy}; mood of the news ${moodOf(sentiment.level)} (${signed(sentiment.level, 2)}).`;
}

function moodOf(level: number): string {
  if (level > 0.2) return "good";
  return level < -0.2 ? "bad" : "mixed";
}

function signed(value: number, digits = 0): string {
  return `${value < 0 ? "-" : "+"}${Math.abs(value).toFixed(digits)}`;
}
