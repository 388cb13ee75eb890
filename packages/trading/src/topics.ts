import { topic } from "@plexus/core";
import * as z from "zod";
import { Bar } from "./bar.ts";
import { Note } from "./commentary.ts";
import { FundamentalView } from "./fundamental-view.ts";
import { MacroMonth } from "./macro.ts";
import { SentimentView } from "./sentiment-view.ts";
import { MAX_SHARDS } from "./shard.ts";
import { TechnicalSignal } from "./technical-signal.ts";

/**
 * What travels between the layers. All of it is stored before it counts, so a process that begins anew reads from the
 * first event what its predecessor had read, and goes on behind the last one that its predecessor had published.
 *
 * Every subject has one publisher at a time, which numbers what it publishes there from 0 and, last, says with an end
 * marker that there is no more. What an event holds depends on its number alone, so its message id does, too.
 */
const stored = { keep: "1h", dedupe: "2m" } as const;

const Count = z.int().min(0);
/** Position of an event on its subject. */
const Numbered = { number: Count };
const End = z.object({ kind: z.literal("end"), ...Numbered });

/** Which of the replicas that take turns at publishing. */
const source = Count;
/** Who publishes bars. */
const Feed = z.enum(["index", "stocks"]);
export type Feed = z.infer<typeof Feed>;
export const FEEDS = Feed.options;
/** Bars and signals: who has published the bar, and to which part of the symbols it belongs. */
const Lane = {
  feed: Feed,
  shard: z
    .int()
    .min(0)
    .max(MAX_SHARDS - 1),
};

/** When a bar was meant to be published, however late it was: microseconds since the epoch. */
const dueAt = z.int();

const SignalEvent = TechnicalSignal.extend({ dueAt });
export type SignalEvent = z.infer<typeof SignalEvent>;

/** The bars that fall due within a few milliseconds travel together, as in the feeds of exchanges. */
export const Bars = topic("market.bars.{feed}.{shard}", {
  description: "Open, high, low, close and volume, bar by bar",
  schema: z.discriminatedUnion("kind", [
    z.object({
      kind: z.literal("bars"),
      ...Lane,
      ...Numbered,
      bars: z.array(Bar.safeExtend({ dueAt })).min(1),
    }),
    End.extend(Lane),
  ]),
  durable: stored,
});

export const Months = topic("market.months.{source}", {
  description: "Monthly employment, month-end closes and headlines (hand-written sample text)",
  schema: z.discriminatedUnion("kind", [
    MacroMonth.extend({ kind: z.literal("month"), source, ...Numbered }),
    End.extend({ source }),
  ]),
  durable: stored,
});

export const Signals = topic("analysis.technical.{feed}.{shard}", {
  description: "Indicators at the close of every bar",
  schema: z.discriminatedUnion("kind", [
    z.object({
      kind: z.literal("signals"),
      ...Lane,
      ...Numbered,
      signals: z.array(SignalEvent).min(1),
    }),
    End.extend(Lane),
  ]),
  durable: stored,
});

export const FundamentalViews = topic("analysis.fundamental.{source}", {
  description: "The economy as of one month",
  schema: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("view"), source, ...Numbered, view: FundamentalView }),
    End.extend({ source }),
  ]),
  durable: stored,
});

export const SentimentViews = topic("analysis.sentiment.{source}", {
  description: "The mood of the news as of one month",
  schema: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("view"), source, ...Numbered, view: SentimentView }),
    End.extend({ source }),
  ]),
  durable: stored,
});

export const Commentary = topic("desk.commentary.{source}", {
  description: "What the desk says about each quarter",
  schema: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("note"), source, ...Numbered, note: Note }),
    End.extend({ source }),
  ]),
  durable: stored,
});
