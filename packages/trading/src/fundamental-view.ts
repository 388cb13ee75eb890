import * as z from "zod";
import { IsoMonth } from "./calendar.ts";

/** What the fundamental analyst knows at the end of month `asOf`. One view for every month, numbered from 0. */
export const FundamentalView = z.object({
  seq: z.int().min(0),
  asOf: IsoMonth,
  /** Mean monthly change of nonfarm employment over three months, thousands of persons. */
  jobsChange: z.number().nullable(),
  /** Share of the monthly stocks that close above their ten-month average, 0 to 1. */
  breadth: z.number().min(0).max(1).nullable(),
  /** Mean of what is known, each scaled to -1 … 1; 0 when nothing is. */
  score: z.number().min(-1).max(1),
  regime: z.enum(["expansion", "neutral", "contraction"]),
});
export type FundamentalView = z.infer<typeof FundamentalView>;
