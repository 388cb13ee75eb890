import type { LeaseEffect, ShardLease, WorkEffect, WriteOutcome } from "./shard-lease.ts";
import type { Claim } from "./shard-claim.ts";
import type { RingMember } from "./ring.ts";

/** A partition's record as the store has it at `revision`; `record` is undefined where there is none (any more). */
export interface SeenLease {
  readonly partition: number;
  readonly revision: number;
  readonly record: ShardLease | undefined;
}

/** What the driver tells the machine. */
export type ShardInput =
  /** All members there are, whenever that changes. */
  | { readonly type: "members"; readonly members: readonly RingMember[] }
  /** The watch on the leases has (re)started: the store can be reached, and these are all its records. */
  | { readonly type: "synced"; readonly leases: readonly SeenLease[] }
  /** The store cannot be reached, or the watch has ended. */
  | { readonly type: "disconnected" }
  /** The watch shows a change; in order per partition, own writes included. */
  | ({ readonly type: "seen" } & SeenLease)
  /** A write has ended; exactly one for each write effect. */
  | {
      readonly type: "wrote";
      readonly partition: number;
      readonly write: number;
      readonly outcome: WriteOutcome;
    }
  /** After `quiesce`: the partition's last command has finished and is recorded. */
  | { readonly type: "quiesced"; readonly partition: number; readonly epoch: number }
  /** Time passes; every 100 ms or so. */
  | { readonly type: "tick" }
  /** Hand everything over and end. Leave the registry first, so that the others know. */
  | { readonly type: "stop" };

/** What the driver is to do, in this order. `stopped` is the last effect of all. */
export type ShardEffect = LeaseEffect | WorkEffect | { readonly type: "stopped" };

/** What this process has of a partition, for people to look at. */
export interface ShardStatus {
  readonly partition: number;
  readonly claim: Claim["kind"];
  readonly epoch: number | undefined;
  /** Who has the lease, and who should, as far as this process can see. */
  readonly holder: string | undefined;
  readonly target: string | undefined;
}
