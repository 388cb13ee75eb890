import type { ShardInfo } from "@plexus/mesh";

/** Partitions that went from one instance to another. */
export interface Move {
  readonly entity: string;
  readonly from: string;
  readonly to: string;
  readonly partitions: readonly number[];
}

/** The last time that partitions of some entities changed hands. */
export interface Movement {
  /** When the last one did: milliseconds since the epoch. */
  readonly at: number;
  readonly moves: readonly Move[];
}

const order = ({ entity, from, to }: Move): string => `${entity} ${from} ${to}`;

const LULL_MS = 5_000; // what lies further apart belongs to different changes

/** The partitions that moved in the last change, as far as they have not moved again; undefined: none ever has. */
export function lastMovement(shards: readonly ShardInfo[]): Movement | undefined {
  const moved = shards
    .filter(({ owner, from, since }) => since !== undefined && from !== undefined && from !== owner)
    .toSorted((a, b) => b.since! - a.since!);
  const end = moved.findIndex(({ since }, n) => n > 0 && moved[n - 1]!.since! - since! > LULL_MS);
  const last = end < 0 ? moved : moved.slice(0, end);
  if (last.length === 0) return undefined;
  const groups = Map.groupBy(last, ({ entity, from, owner }) => `${entity} ${from} ${owner}`);
  const moves = [...groups.values()].map((group): Move => {
    const { entity, from, owner } = group[0]!;
    const partitions = group.map(({ partition }) => partition).toSorted((a, b) => a - b);
    return { entity, from: from!, to: owner!, partitions };
  });
  return { at: last[0]!.since!, moves: moves.toSorted((a, b) => (order(a) < order(b) ? -1 : 1)) };
}
