import { hash32 } from "@plexus/core";

/** Parts into which symbols are divided. Few, so that events of one turn to one shard still share a message. */
export const SHARDS = 8;

/** Which of several equal processes this one is; `0 <= index < of`. */
export interface Replica {
  readonly index: number;
  readonly of: number;
}

export function shardOf(symbol: string): number {
  return hash32(symbol) % SHARDS;
}

/** The shards of a replica: a fixed share, so that one symbol always meets the same process. */
export function shardsOf({ index, of }: Replica): number[] {
  return Array.from({ length: SHARDS }, (_, shard) => shard).filter((shard) => shard % of === index);
}
