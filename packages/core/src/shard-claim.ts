import type {
  DropReason,
  LeaseEffect,
  ShardLease,
  WorkEffect,
  WriteOutcome,
} from "./shard-lease.ts";

interface SentWrite {
  readonly effect: LeaseEffect;
  readonly sentAt: number;
}

/** A lease as its holder knows it. Times are this process's. */
interface Lease {
  readonly epoch: number;
  readonly acquiredAt: number;
  readonly revision: number;
  readonly validUntil: number;
  /** When to renew, or to try again. */
  readonly nextAt: number;
  /** One write at a time: the next one needs the revision of this one. */
  readonly sent: SentWrite | undefined;
  /** Some write ended as `unknown`: a conflict may be with ourselves, and only the watch can tell. */
  readonly doubtful: boolean;
}

/** What one process has to do with one partition. */
export type Claim =
  | { readonly kind: "none"; readonly retryAt: number }
  | { readonly kind: "acquiring"; readonly sent: SentWrite }
  | { readonly kind: "owned"; readonly lease: Lease }
  | { readonly kind: "quiescing"; readonly lease: Lease; readonly giveUpAt: number }
  | { readonly kind: "releasing"; readonly lease: Lease };

/** What the assignment wants of a partition. */
export type Wish =
  | { readonly kind: "take" } // own it, and acquire it now
  | { readonly kind: "hold" } // leave it as it is
  | { readonly kind: "give"; readonly heir: string | undefined } // somebody else is to have it
  | { readonly kind: "leave"; readonly heir: string | undefined }; // the same, and this process ends

/** Times of a lease, in ms. */
export interface LeaseTiming {
  /** How long a lease lasts from the moment its last renewal was sent. */
  readonly ttlMs: number;
  /** How long after that it is renewed. */
  readonly renewMs: number;
  /** How long after a write that failed the next one follows, unless the watch brings news before. */
  readonly retryMs: number;
  /** How long a hand-off waits for running commands; then they are aborted. */
  readonly quiesceMs: number;
}

/** Where and when a step happens. */
export interface ClaimContext {
  readonly self: string;
  readonly partition: number;
  readonly now: number;
  /** Whether the store can be written to. */
  readonly connected: boolean;
  readonly timing: LeaseTiming;
}

/** The next claim, and what to carry out. */
export interface Step {
  readonly claim: Claim;
  readonly effects: readonly (LeaseEffect | WorkEffect)[];
}

export const NO_CLAIM: Claim = { kind: "none", retryAt: -Infinity };

const stay = (claim: Claim): Step => ({ claim, effects: [] });

/** The epoch under which this process may take commands and write, if it may at `now`. */
export function claimedEpoch(claim: Claim, now: number): number | undefined {
  return (claim.kind === "owned" || claim.kind === "quiescing") && now < claim.lease.validUntil
    ? claim.lease.epoch
    : undefined;
}

/** The write whose outcome this claim waits for. */
export function sentWrite(claim: Claim): SentWrite | undefined {
  return claim.kind === "none"
    ? undefined
    : claim.kind === "acquiring"
      ? claim.sent
      : claim.lease.sent;
}

/** Time has passed: a lease that ran out is not believed in any more, a handler that never ends not waited for. */
export function elapse(claim: Claim, { partition, now }: ClaimContext): Step {
  switch (claim.kind) {
    case "none":
    case "acquiring":
      return stay(claim);
    case "owned":
    case "quiescing":
      if (now >= claim.lease.validUntil) return dropped(claim.lease, partition, "expired", now);
      if (claim.kind === "owned" || now < claim.giveUpAt) return stay(claim);
      return letGo(claim.lease, partition, "quiesce_timeout", now);
    default:
      // Others may take it over by now; what is left of it in the store is looked at anew.
      return stay(now < claim.lease.validUntil ? claim : { kind: "none", retryAt: now });
  }
}

/** The watch shows another record, or that it is gone. */
export function observe(
  claim: Claim,
  revision: number,
  record: ShardLease | undefined,
  { self, partition, now }: ClaimContext,
): Step {
  if (claim.kind === "none") return stay({ kind: "none", retryAt: now });
  if (claim.kind === "acquiring" || revision <= claim.lease.revision) return stay(claim);
  const { lease } = claim;
  const own = record?.state === "held" && record.owner === self && record.epoch === lease.epoch;
  if (own) {
    // A renewal whose answer has not come, or never will. When it was sent is uncertain, so it extends nothing.
    const nextAt = lease.doubtful ? now : lease.nextAt;
    return stay({ ...claim, lease: { ...lease, revision, nextAt, doubtful: false } });
  }
  return claim.kind === "releasing"
    ? stay({ kind: "none", retryAt: now })
    : dropped(lease, partition, "lost", now);
}

/** The write that the claim waited for has ended. */
export function conclude(claim: Claim, outcome: WriteOutcome, context: ClaimContext): Step {
  const { now, timing, partition } = context;
  if (claim.kind === "none") return stay(claim);
  if (claim.kind === "acquiring") {
    if (outcome.type !== "written") return stay({ kind: "none", retryAt: now + timing.retryMs });
    const { revision } = outcome;
    const lease = renewed({ epoch: revision, acquiredAt: now }, claim.sent, revision, timing);
    // An answer that comes after the lease's time is the answer to somebody who was stopped meanwhile.
    if (now >= lease.validUntil) return stay({ kind: "none", retryAt: now });
    const effect = { type: "start", partition, epoch: lease.epoch } as const;
    return { claim: { kind: "owned", lease }, effects: [effect] };
  }
  const { sent } = claim.lease;
  const lease = { ...claim.lease, sent: undefined };
  if (sent === undefined) return stay(claim);
  switch (outcome.type) {
    case "written": {
      if (sent.effect.type === "release") return stay({ kind: "none", retryAt: now });
      const next = renewed(lease, sent, outcome.revision, timing);
      // A partition that is done with waited for this renewal, to be released with its revision.
      const nextAt = claim.kind === "releasing" ? now : next.nextAt;
      return stay({ ...claim, lease: { ...next, nextAt } });
    }
    case "unknown":
      return stay({ ...claim, lease: { ...lease, doubtful: true, nextAt: now + timing.retryMs } });
    default:
      if (sent.effect.expectedRevision < lease.revision) {
        return stay({ ...claim, lease: { ...lease, nextAt: now } }); // the watch was quicker: with the new revision
      }
      if (lease.doubtful) {
        return stay({ ...claim, lease: { ...lease, nextAt: now + timing.retryMs } });
      }
      return claim.kind === "releasing"
        ? stay({ kind: "none", retryAt: now })
        : dropped(lease, partition, "lost", now);
  }
}

/** The last command has finished and is recorded. */
export function quiesced(claim: Claim, epoch: number, { partition, now }: ClaimContext): Step {
  return claim.kind === "quiescing" && claim.lease.epoch === epoch
    ? letGo(claim.lease, partition, "released", now)
    : stay(claim);
}

/** Does what the assignment wants, as far as that is possible now. `write` is the id of the write it may send. */
export function pursue(
  claim: Claim,
  wish: Wish,
  seen: { readonly revision: number; readonly record: ShardLease | undefined },
  write: number,
  context: ClaimContext,
): Step {
  const { self, partition, now, timing, connected } = context;
  switch (claim.kind) {
    case "none": {
      if (!connected || now < claim.retryAt || wish.kind === "hold") return stay(claim);
      const { revision, record } = seen;
      if (wish.kind === "take") {
        const effect = { type: "acquire", write, partition, expectedRevision: revision } as const;
        return { claim: { kind: "acquiring", sent: { effect, sentAt: now } }, effects: [effect] };
      }
      // A write that was given up was applied after all, and the partition is not wanted any more.
      if (record?.state !== "held" || record.owner !== self) return stay(claim);
      const lease: Lease = {
        epoch: record.epoch,
        acquiredAt: now,
        revision,
        validUntil: now + timing.ttlMs,
        nextAt: now,
        sent: undefined,
        doubtful: false,
      };
      return pursue({ kind: "releasing", lease }, wish, seen, write, context);
    }
    case "acquiring":
      return stay(claim);
    case "owned":
      if (wish.kind === "give" || wish.kind === "leave") {
        const effect = { type: "quiesce", partition, epoch: claim.lease.epoch } as const;
        const giveUpAt = now + timing.quiesceMs;
        return { claim: { kind: "quiescing", lease: claim.lease, giveUpAt }, effects: [effect] };
      }
      return renewIfDue(claim, write, context);
    case "quiescing":
      return renewIfDue(claim, write, context);
    default: {
      const heir = wish.kind === "take" ? self : wish.kind === "hold" ? undefined : wish.heir;
      const { epoch, revision: expectedRevision } = claim.lease;
      const leaving = wish.kind === "leave";
      const ids = { write, partition, expectedRevision, epoch };
      return sendIfDue(claim, { type: "release", ...ids, heir, leaving }, context);
    }
  }
}

type Leased = Extract<Claim, { lease: Lease }>;

function renewIfDue(claim: Leased, write: number, context: ClaimContext): Step {
  const { epoch, revision: expectedRevision } = claim.lease;
  const { partition } = context;
  return sendIfDue(claim, { type: "renew", write, partition, expectedRevision, epoch }, context);
}

function sendIfDue(claim: Leased, effect: LeaseEffect, { now, connected }: ClaimContext): Step {
  const { lease } = claim;
  if (!connected || lease.sent !== undefined || now < lease.nextAt) return stay(claim);
  const sent = { effect, sentAt: now };
  return { claim: { ...claim, lease: { ...lease, sent } }, effects: [effect] };
}

function renewed(
  { epoch, acquiredAt }: Pick<Lease, "epoch" | "acquiredAt">,
  sent: SentWrite,
  revision: number,
  timing: LeaseTiming,
): Lease {
  return {
    epoch,
    acquiredAt,
    revision,
    validUntil: sent.sentAt + timing.ttlMs,
    nextAt: sent.sentAt + timing.renewMs,
    sent: undefined,
    doubtful: false,
  };
}

function dropped(lease: Lease, partition: number, reason: DropReason, now: number): Step {
  return {
    claim: { kind: "none", retryAt: now },
    effects: [{ type: "drop", partition, epoch: lease.epoch, reason }],
  };
}

/** Stops believing, then gives the lease back. */
function letGo(lease: Lease, partition: number, reason: DropReason, now: number): Step {
  return {
    claim: { kind: "releasing", lease: { ...lease, nextAt: now } },
    effects: [{ type: "drop", partition, epoch: lease.epoch, reason }],
  };
}
