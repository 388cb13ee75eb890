import { hash32 } from "@plexus/core";

/** The most shards there can be. */
export const MAX_SHARDS = 840;

/** Which of several equal processes this one is; `0 <= index < of`. */
export interface Replica {
  readonly index: number;
  readonly of: number;
}

export function shardOf(symbol: string, shards: number): number {
  return hash32(symbol) % shards;
}

/** The shards of a replica: a fixed share, so that one symbol always meets the same process. */
export function shardsOf({ index, of }: Replica, shards: number): number[] {
  return Array.from({ length: shards }, (_, shard) => shard).filter(
    (shard) => shard % of === index,
  );
}

/**
 * The fewest shards that roles with these replica counts can share out evenly: their least common multiple. Few, because
 * only events of one shard travel in one message.
 */
export function shardsFor(replicas: readonly number[]): number {
  return replicas.reduce((shards, count) => (shards * count) / gcd(shards, count), 1);
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
