import * as z from "zod";
import { IsoMonth } from "./calendar.ts";

/** The mood of the news at the end of month `asOf`. One view for every month, numbered from 0. */
export const SentimentView = z.object({
  seq: z.int().min(0),
  asOf: IsoMonth,
  /** Who scored: the word list (the degraded mode) or a language model. */
  mode: z.enum(["lexicon", "model"]),
  /** Why a model that was there did not score: an error code. */
  reason: z.string().optional(),
  /** Headlines of this month. */
  headlines: z.int().min(0),
  /** Mean score of this month's headlines, -1 … 1; 0 without headlines. */
  score: z.number().min(-1).max(1),
  /** The mood that lingers: moves half-way to each month's score, and fades by a fifth in months without news. */
  level: z.number().min(-1).max(1),
});
export type SentimentView = z.infer<typeof SentimentView>;
