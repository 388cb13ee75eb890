import { hash32 } from "./hash.ts";

/** How many partitions a sharded agent has unless it says otherwise. The number never changes: keys would move. */
export const DEFAULT_PARTITIONS = 64;

/** The partition of `key`, 0 to `partitions` − 1: the same in every process, version and machine. */
export function partitionOf(key: string, partitions = DEFAULT_PARTITIONS): number {
  return hash32(key) % partitions;
}
