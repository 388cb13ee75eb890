import { DEFAULT_CAPACITY_FACTOR } from "./assignment.ts";
import { MeshError } from "./errors.ts";
import type { LeaseTiming } from "./shard-claim.ts";
import type { MembershipTiming } from "./shard-membership.ts";
import { DEFAULT_PARTITIONS } from "./partition.ts";
import type { RingMember } from "./ring.ts";

/** How a {@link ShardMachine} behaves; times in ms. All processes of one agent need the same. */
export interface ShardConfig extends LeaseTiming, MembershipTiming {
  /** This process. The id is never used again by another one, nor by itself after a restart. */
  readonly self: RingMember;
  readonly partitions: number;
  readonly capacityFactor: number;
  /** How much longer than `ttlMs` others wait: more than what clocks and `ttlMs` make of their difference in rate. */
  readonly marginMs: number;
  /** How long the next one waits for whoever should take a partition that has been left to run out, and the one after that for both. */
  readonly deputyMs: number;
  /** A gap between two inputs beyond this is time in which this process was stopped. */
  readonly stallMs: number;
}

/**
 * Fills in what is not given: leases of 5 s, renewed at a third, taken over 5 % later. A member counts after 1 s without
 * changes, or 5 s with; a silent one is left out for 15 s, longer than the registry keeps the dead (10 s).
 * Throws `INVALID_CONTRACT` for what makes no sense.
 */
export function shardConfig(config: Partial<ShardConfig> & Pick<ShardConfig, "self">): ShardConfig {
  const ttlMs = config.ttlMs ?? 5_000;
  const full: ShardConfig = {
    partitions: DEFAULT_PARTITIONS,
    capacityFactor: DEFAULT_CAPACITY_FACTOR,
    ttlMs,
    marginMs: ttlMs / 20,
    renewMs: ttlMs / 3,
    retryMs: ttlMs / 20,
    deputyMs: ttlMs / 8,
    stallMs: ttlMs / 4,
    settleMs: 1_000,
    settleMaxMs: 5_000,
    seasonMs: ttlMs + (config.marginMs ?? ttlMs / 20),
    silentMs: 15_000,
    quiesceMs: 10_000,
    ...config,
  };
  const { partitions, capacityFactor, marginMs, renewMs, deputyMs } = full;
  const { retryMs, stallMs, settleMs, settleMaxMs, seasonMs, silentMs, quiesceMs } = full;
  const times = {
    marginMs,
    deputyMs,
    retryMs,
    settleMs,
    settleMaxMs,
    seasonMs,
    silentMs,
    quiesceMs,
  };
  for (const [name, value] of Object.entries(times)) {
    demand(value >= 0, `${name} must not be negative, but is ${value}.`);
  }
  demand(
    Number.isSafeInteger(partitions) && partitions > 0,
    `${partitions} is no number of partitions: use 1 or more.`,
  );
  demand(capacityFactor >= 1, `capacityFactor must be 1 or more, not ${capacityFactor}.`);
  demand(ttlMs > 0 && ttlMs < Infinity, `ttlMs must be above 0, not ${ttlMs}.`);
  demand(renewMs > 0 && renewMs < ttlMs, `renewMs must be below ttlMs ${ttlMs}, not ${renewMs}.`);
  demand(stallMs > 0, `stallMs must be above 0, not ${stallMs}.`);
  return full;
}

function demand(holds: boolean, message: string): void {
  if (!holds) throw new MeshError("INVALID_CONTRACT", message);
}
