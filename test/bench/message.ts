import { z } from "zod";

/** What every contender sends: an agent's signal of about 300 bytes in MessagePack. */
export const Message = z.object({
  id: z.string(),
  seq: z.number(),
  /** Intended start, {@link now} of the sender. */
  at: z.number(),
  symbol: z.string(),
  source: z.string(),
  action: z.enum(["buy", "sell", "hold"]),
  price: z.number(),
  confidence: z.number(),
  volume: z.number(),
  hops: z.number(),
  rationale: z.string(),
  factors: z.array(z.object({ name: z.string(), weight: z.number() })),
});

export type Message = z.infer<typeof Message>;

export const message = (seq: number, at: number): Message => ({
  id: "01JZ8Q4M6T3V9K2D5XWBHN7RCE",
  seq,
  at,
  symbol: "SPX500",
  source: "technical-analysis-2",
  action: "buy",
  price: 1425.59,
  confidence: 0.8125,
  volume: 1_009_000_000,
  hops: 0,
  rationale: "Close above the 20-day mean with rising volume; momentum agrees.",
  factors: [
    { name: "momentum", weight: 0.41 },
    { name: "mean-reversion", weight: -0.07 },
    { name: "volume", weight: 0.22 },
  ],
});
