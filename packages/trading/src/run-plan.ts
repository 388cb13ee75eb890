import * as z from "zod";
import { LargeOrders } from "./large-order.ts";
import { MAX_SHARDS, shardsFor } from "./shard.ts";

/** The processes of the application, layer by layer. */
export const Role = z.enum([
  "index",
  "stocks",
  "macro",
  "technical",
  "fundamental",
  "sentiment",
  "commentary",
  "trend",
  "reversion",
  "regime",
  "risk",
  "order",
  "portfolio",
]);
export type Role = z.infer<typeof Role>;

/** The most replicas a role can have; the least common multiple of 1 to 8 is `MAX_SHARDS`. */
export const MAX_REPLICAS = 8;

/** The roles whose replicas share the symbols out by shard. */
const SHARDED = ["index", "stocks", "technical", "trend", "reversion", "regime"] as const;

/** What every process must know to take its part in a run. */
export const RunPlan = z.object({
  /** 0: the real instruments. Otherwise that many synthetic ones made from `seed`. */
  symbols: z.int().min(0).max(10_000),
  seed: z.int(),
  /** Bars a second over all symbols, offered whether or not anybody keeps up. */
  rate: z.number().positive(),
  /** Bars in all. */
  bars: z.int().min(1),
  replicas: z.record(Role, z.int().min(1).max(MAX_REPLICAS)),
  /** How long a language model may take, in ms, until headlines are read and notes are written without it. */
  modelWithinMs: z.int().min(1),
  /** How orders are treated that are large. Absent: none is. */
  largeOrders: LargeOrders.optional(),
  /** Parts into which the symbols are divided. */
  shards: z.int().min(1).max(MAX_SHARDS),
});
export type RunPlan = z.infer<typeof RunPlan>;

/** Long enough for a small model, short enough for who waits for a decision. */
const MODEL_WITHIN_MS = 3_000;

/** One process of each role, or as many as asked for. */
function replicasOf(asked: Partial<Record<Role, number>> = {}): Record<Role, number> {
  const each = Role.options.map((role) => [role, asked[role] ?? 1] as const);
  return Object.fromEntries(each) as Record<Role, number>;
}

/** A plan with as many shards as its replicas need. */
export function planRun(
  run: Omit<RunPlan, "replicas" | "shards" | "modelWithinMs"> & {
    replicas?: Partial<Record<Role, number>>;
    modelWithinMs?: number;
  },
): RunPlan {
  const { modelWithinMs = MODEL_WITHIN_MS } = run;
  const replicas = replicasOf(run.replicas);
  const shards = shardsFor(SHARDED.map((role) => replicas[role]));
  return { ...run, replicas, modelWithinMs, shards };
}

/** How long the first bar of an event may wait for the last one, from 1,000 bars a second on. */
const TOGETHER_MS = 5;

/**
 * How many slots share an event: those that fall due within a few milliseconds, since what is stored and handed on costs
 * mostly by the event. A function of the rate alone, so that a feed that begins anew makes the same events again.
 */
export function slotsPerEvent(rate: number): number {
  return rate < 1_000 ? 1 : Math.floor((rate * TOGETHER_MS) / 1_000);
}
