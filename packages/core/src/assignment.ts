import { apportion } from "./apportion.ts";
import { MeshError } from "./errors.ts";
import { buildRing, type RingMember } from "./ring.ts";

/** Which member each partition belongs to, by partition; undefined only when there are no members. */
export type Assignment = readonly (string | undefined)[];

/** The default bound: a member owns at most this many times its fair share, rounded up. */
export const DEFAULT_CAPACITY_FACTOR = 1.25;

/**
 * Assigns partitions to members by consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, SODA 2018,
 * on the ring of Karger et al. 1997): a partition goes to the first member clockwise that still has room.
 *
 * `previous` says who has each partition now. Whoever has one keeps it while that is within its quota, so that a join or
 * leave moves the quota of the one member and nothing else. Without it, and with 64 partitions on 16 members, the paper's
 * bound makes up to three times a member's share move, because one that finds a full member pushes on the next. Since
 * `previous` is read from the leases, which everybody watches, all that see the same members and leases agree.
 *
 * An assignment is stable while it is carried out: with any part of its moves done, the answer is still the same.
 * @param capacityFactor bound of a member's load relative to its fair share by weight, rounded up; 1 or more
 */
export function assignPartitions(
  members: readonly RingMember[],
  partitions: number,
  previous: Assignment = [],
  capacityFactor: number = DEFAULT_CAPACITY_FACTOR,
): Assignment {
  return createAssigner(members, partitions, capacityFactor)(previous);
}

/** {@link assignPartitions} for one set of members, to be asked again as `previous` changes. */
export function createAssigner(
  members: readonly RingMember[],
  partitions: number,
  capacityFactor: number = DEFAULT_CAPACITY_FACTOR,
): (previous: Assignment) => Assignment {
  if (!(capacityFactor >= 1)) {
    throw new MeshError(
      "INVALID_CONTRACT",
      `capacityFactor must be 1 or more, not ${capacityFactor}.`,
    );
  }
  const ring = buildRing(members);
  const quotas = apportion(members, partitions, capacityFactor);
  const orders: (readonly string[] | undefined)[] = [];
  /** The members in the order in which the ring offers them this partition. */
  const order = (partition: number): readonly string[] =>
    (orders[partition] ??= Array.from(ring.successors(String(partition)), ({ id }) => id));
  /** What a member with too much keeps: what the ring would rather give it than others. */
  const kept = (id: string, held: readonly number[], quota: number): readonly number[] =>
    held
      .map((partition) => ({ partition, rank: order(partition).indexOf(id) }))
      .toSorted((a, b) => a.rank - b.rank || a.partition - b.partition)
      .slice(0, quota)
      .map(({ partition }) => partition);

  return (previous) => {
    const owners: (string | undefined)[] = Array.from({ length: partitions });
    if (members.length === 0) return owners;
    const room = new Map(quotas);
    for (const [id, held] of holdings(previous, partitions)) {
      const quota = quotas.get(id);
      if (quota === undefined) continue;
      const keeps = held.length > quota ? kept(id, held, quota) : held;
      for (const partition of keeps) owners[partition] = id;
      room.set(id, quota - keeps.length);
    }
    for (let partition = 0; partition < partitions; partition++) {
      if (owners[partition] !== undefined) continue;
      const id = order(partition).find((member) => room.get(member)! > 0)!;
      owners[partition] = id;
      room.set(id, room.get(id)! - 1);
    }
    return owners;
  };
}

function holdings(previous: Assignment, partitions: number): Map<string, number[]> {
  const held = new Map<string, number[]>();
  for (let partition = 0; partition < partitions; partition++) {
    const id = previous[partition];
    if (id === undefined) continue;
    const list = held.get(id);
    if (list) list.push(partition);
    else held.set(id, [partition]);
  }
  return held;
}
