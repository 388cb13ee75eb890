/**
 * A lease on a partition, as it stands in the store, and what can be done with it.
 *
 * It is a record in a store with compare-and-set writes (Gray and Cheriton, SOSP 1989). Its holder believes in it until
 * `ttlMs` after the moment it *sent* its last successful renewal; others may take it over when they have seen it
 * unchanged for `ttlMs + marginMs` by their own clocks. The margin covers clocks that run at different rates.
 * Its epoch, the revision of the acquiring write, is the fencing token (Kleppmann, How to do distributed locking, 2016).
 */

/**
 * What a lease's record says. A released one may name the heir that is to acquire it next, and tells whether its owner
 * leaves altogether: then nothing must go back to it, even if the registry still has it.
 */
export type ShardLease =
  | { readonly state: "held"; readonly owner: string; readonly epoch: number }
  | {
      readonly state: "released";
      readonly owner: string;
      readonly epoch: number;
      readonly heir: string | undefined;
      readonly leaving: boolean;
    };

/**
 * A compare-and-set write for the driver: it applies only if the record still has `expectedRevision` (0: there is none).
 * `write` comes back with its outcome. `acquire` writes a held record whose epoch is the write's own revision.
 */
export type LeaseEffect =
  | {
      readonly type: "acquire";
      readonly write: number;
      readonly partition: number;
      readonly expectedRevision: number;
    }
  | {
      readonly type: "renew";
      readonly write: number;
      readonly partition: number;
      readonly expectedRevision: number;
      readonly epoch: number;
    }
  | {
      readonly type: "release";
      readonly write: number;
      readonly partition: number;
      readonly expectedRevision: number;
      readonly epoch: number;
      readonly heir: string | undefined;
      readonly leaving: boolean;
    };

/** Why a partition was dropped. Only after `released` is nothing of it running any more. */
export type DropReason =
  | "released" // handed over, everything finished
  | "quiesce_timeout" // handed over although something still runs: abort it
  | "expired" // the lease could not be renewed in time: abort
  | "lost"; // the record is somebody else's: abort

/** What is to happen with a partition's commands: take them, take no new ones, stop. */
export type WorkEffect =
  | { readonly type: "start"; readonly partition: number; readonly epoch: number }
  | { readonly type: "quiesce"; readonly partition: number; readonly epoch: number }
  | {
      readonly type: "drop";
      readonly partition: number;
      readonly epoch: number;
      readonly reason: DropReason;
    };

/** How a write ended. `unknown`: no answer in time; it may have been applied, or still be. */
export type WriteOutcome =
  | { readonly type: "written"; readonly revision: number }
  | { readonly type: "conflict" }
  | { readonly type: "unknown" };

/** What the record says once `effect` has been applied with this revision. */
export function recordAfter(effect: LeaseEffect, owner: string, revision: number): ShardLease {
  switch (effect.type) {
    case "acquire":
      return { state: "held", owner, epoch: revision };
    case "renew":
      return { state: "held", owner, epoch: effect.epoch };
    default: {
      const { epoch, heir, leaving } = effect;
      return { state: "released", owner, epoch, heir, leaving };
    }
  }
}

/** Whose a partition is by its record: who holds its lease, or is to acquire it next. */
export function holderOf(record: ShardLease | undefined): string | undefined {
  return record?.state === "held" ? record.owner : record?.heir;
}
