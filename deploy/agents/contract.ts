import { agent } from "@plexus/core";
import { z } from "zod";

const Window = z.object({ symbol: z.string(), closes: z.array(z.number()).min(2) });
const Score = z.object({ symbol: z.string(), change: z.number() });

export const Analyst = agent("analyst", {
  description: "Scores a market window",
  capabilities: {
    score: { input: Window, output: Score, idempotent: true },
    /** The same as a task: it is done once somebody is there to do it. */
    study: { input: Window, output: Score, durable: true },
  },
});
