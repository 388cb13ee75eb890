import { holderOf, recordAfter, type ShardLease, type WriteOutcome } from "./shard-lease.ts";
import {
  NO_CLAIM,
  claimedEpoch,
  conclude,
  elapse,
  observe,
  pursue,
  quiesced,
  sentWrite,
  type Claim,
  type ClaimContext,
  type Step,
  type Wish,
} from "./shard-claim.ts";
import { Membership } from "./shard-membership.ts";
import { ShardPlan, type PlanMode } from "./shard-plan.ts";
import type { ShardConfig } from "./shard-config.ts";
import type { SeenLease, ShardEffect, ShardInput, ShardStatus } from "./shard-protocol.ts";

/** A record, and since when it has been seen unchanged, on a clock that stands while nobody watches. */
interface View {
  readonly revision: number;
  readonly record: ShardLease | undefined;
  readonly since: number;
}

/**
 * One process's part in owning the partitions of one sharded agent: decides which leases to acquire, renew, release, and
 * when to start, quiesce and drop a partition. No I/O: {@link handle} takes what happened and the time by this process's
 * monotonic clock, and returns what to do.
 *
 * Safety never depends on the views of different processes being equal: a lease changes hands by compare-and-set, after
 * it was released or has been seen unchanged for longer than its holder believes in it, and its epoch fences off a
 * holder that was stopped and does not know. Views that become equal give equal assignments, hence one owner each.
 */
export class ShardMachine {
  readonly #config: ShardConfig;
  readonly #members: Membership;
  readonly #views: View[];
  readonly #claims: Claim[];
  readonly #plan: ShardPlan;
  #phase: "running" | "stopping" | "stopped" = "running";
  #connected = false;
  #now = -Infinity;
  #watched = 0;
  #writes = 0;

  constructor(config: ShardConfig) {
    const { partitions, self } = config;
    this.#config = config;
    this.#members = new Membership(self, config);
    this.#views = Array.from({ length: partitions }, () => UNSEEN);
    this.#claims = Array.from({ length: partitions }, () => NO_CLAIM);
    this.#plan = new ShardPlan(config, this.#members);
  }

  /** The epoch under which this process may take the partition's commands and write for it, if it may at `now`. */
  epoch(partition: number, now: number): number | undefined {
    return claimedEpoch(this.#claims[partition]!, now);
  }

  status(): ShardStatus[] {
    return this.#claims.map((claim, partition) => ({
      partition,
      claim: claim.kind,
      epoch: claimedEpoch(claim, this.#now) ?? this.#views[partition]!.record?.epoch,
      holder: this.#plan.holder(partition),
      target: this.#plan.keeper(partition),
    }));
  }

  handle(input: ShardInput, now: number): ShardEffect[] {
    if (this.#phase === "stopped") return [];
    const effects: ShardEffect[] = [];
    this.#passTime(now);
    switch (input.type) {
      case "members":
        this.#members.update(input.members, this.#now);
        this.#pursueAll(effects);
        break;
      case "synced":
        this.#sync(input.leases, effects);
        break;
      case "disconnected":
        this.#connected = false;
        break;
      case "seen":
        this.#see(input, effects);
        this.#pursueChanged(input.partition, effects);
        break;
      case "wrote":
        this.#conclude(input.partition, input.write, input.outcome, effects);
        this.#pursueChanged(input.partition, effects);
        break;
      case "quiesced":
        this.#step(input.partition, effects, (claim, context) =>
          quiesced(claim, input.epoch, context),
        );
        this.#pursueChanged(input.partition, effects);
        break;
      case "tick":
        this.#members.tick(this.#now);
        if (this.#connected) this.#blameSilent();
        this.#pursueAll(effects);
        break;
      case "stop":
        if (this.#phase === "running") this.#phase = "stopping";
        this.#pursueAll(effects);
        break;
    }
    if (this.#phase === "stopping" && this.#claims.every((claim) => isOver(claim, this.#now))) {
      this.#phase = "stopped";
      effects.push({ type: "stopped" });
    }
    return effects;
  }

  /**
   * Time in which this process was stopped, or could not hear the store, counts nothing towards the expiry of others'
   * leases: they may well have renewed them. Otherwise a process that wakes up would believe that all others are dead.
   */
  #passTime(now: number): void {
    const elapsed = now - this.#now;
    if (!(elapsed > 0)) return;
    this.#now = now;
    if (this.#connected) this.#watched += Math.min(elapsed, this.#config.stallMs);
  }

  #sync(leases: readonly SeenLease[], effects: ShardEffect[]): void {
    this.#connected = true;
    const since = this.#watched;
    for (let partition = 0; partition < this.#views.length; partition++) {
      this.#views[partition] = { revision: 0, record: undefined, since };
    }
    for (const lease of leases) this.#see(lease, effects);
    for (let partition = 0; partition < this.#views.length; partition++) this.#hold(partition);
    this.#pursueAll(effects);
  }

  #see({ partition, revision, record }: SeenLease, effects: ShardEffect[]): void {
    if (revision <= this.#views[partition]!.revision) return; // of a write whose answer came first
    this.#views[partition] = { revision, record, since: this.#watched };
    if (record) this.#members.heard(record.owner);
    if (record?.state === "released" && record.leaving) this.#members.farewell(record.owner);
    this.#step(partition, effects, (claim, context) => observe(claim, revision, record, context));
  }

  #conclude(partition: number, write: number, outcome: WriteOutcome, effects: ShardEffect[]): void {
    // First the time: a lease that has run out is gone, and the answer to its renewal comes too late.
    this.#step(partition, effects, stayed);
    const sent = sentWrite(this.#claims[partition]!);
    if (sent?.effect.write !== write) return;
    const view = this.#views[partition]!;
    if (outcome.type === "written" && outcome.revision > view.revision) {
      const { revision } = outcome;
      const record = recordAfter(sent.effect, this.#config.self.id, revision);
      this.#views[partition] = { revision, record, since: this.#watched };
    } else if (outcome.type === "conflict") {
      this.#views[partition] = { ...view, since: this.#watched }; // somebody is alive; the watch is late
    }
    this.#step(partition, effects, (claim, context) => conclude(claim, outcome, context));
  }

  /** Whoever let a lease expire, its own or one that it was to have, does not count for the time being. */
  #blameSilent(): void {
    const patience = this.#config.ttlMs + this.#config.marginMs;
    for (const { record, since } of this.#views) {
      if (this.#watched - since < patience) continue;
      const named = holderOf(record);
      if (named !== undefined && this.#members.trusts(named)) {
        this.#members.blame(named, this.#now);
      }
    }
  }

  /** After one partition's news: everything if they change the plan, else only that partition. */
  #pursueChanged(partition: number, effects: ShardEffect[]): void {
    if (this.#plan.update(this.#mode())) this.#pursueEach(effects);
    else this.#pursue(partition, effects);
  }

  #pursueAll(effects: ShardEffect[]): void {
    this.#plan.update(this.#mode());
    this.#pursueEach(effects);
  }

  #pursueEach(effects: ShardEffect[]): void {
    for (let partition = 0; partition < this.#claims.length; partition++) {
      this.#pursue(partition, effects);
    }
  }

  /** Where nobody serves anything yet, the first to start waits for the others, lest it take everything. */
  #mode(): PlanMode {
    if (this.#phase !== "running") return "leaving";
    const served = (): boolean =>
      this.#views.some(
        ({ record }) => record?.state === "held" && this.#members.trusts(record.owner),
      );
    return this.#members.settled || served() ? "taking" : "waiting";
  }

  #pursue(partition: number, effects: ShardEffect[]): void {
    this.#step(partition, effects, (claim, context) =>
      pursue(claim, this.#wish(partition), this.#views[partition]!, ++this.#writes, context),
    );
  }

  #wish(partition: number): Wish {
    const keeper = this.#plan.keeper(partition);
    if (this.#phase !== "running") return { kind: "leave", heir: keeper };
    if (!this.#connected) return HOLD;
    const { record, since } = this.#views[partition]!;
    const self = this.#config.self.id;
    const holder = holderOf(record);
    if (record?.state === "released" && holder === self) return TAKE;
    const free =
      holder === undefined ||
      holder === self ||
      (record?.state === "released" && !this.#members.trusts(holder));
    const { ttlMs, marginMs, deputyMs } = this.#config;
    const lapsedMs = this.#watched - since - ttlMs - marginMs;
    if (lapsedMs >= 0 && lapsedMs >= this.#plan.rank(partition) * deputyMs) return TAKE;
    if (free && this.#plan.taker(partition) === self) return TAKE;
    if (keeper === undefined || keeper === self || !this.#mayGive(partition)) return HOLD;
    return { kind: "give", heir: keeper };
  }

  /** Not what it has just got, lest a partition be passed to and fro by those that do not see the same members yet. */
  #mayGive(partition: number): boolean {
    const claim = this.#claims[partition]!;
    return claim.kind !== "owned" || this.#now >= claim.lease.acquiredAt + this.#config.settleMs;
  }

  #step(
    partition: number,
    effects: ShardEffect[],
    next: (claim: Claim, context: ClaimContext) => Step,
  ): void {
    const context: ClaimContext = {
      self: this.#config.self.id,
      partition,
      now: this.#now,
      connected: this.#connected,
      timing: this.#config,
    };
    const before = this.#claims[partition]!;
    const elapsed = elapse(before, context);
    const step = next(elapsed.claim, context);
    this.#claims[partition] = step.claim;
    effects.push(...elapsed.effects, ...step.effects);
    this.#hold(partition);
  }

  #hold(partition: number): void {
    const own = this.#claims[partition]!.kind !== "none";
    const holder = own ? this.#config.self.id : holderOf(this.#views[partition]!.record);
    this.#plan.hold(partition, holder);
  }
}

const UNSEEN: View = { revision: 0, record: undefined, since: 0 };
const TAKE: Wish = { kind: "take" };
const HOLD: Wish = { kind: "hold" };

/** Nothing is held, and no write is on its way of which the watch may still bring news. */
const isOver = (claim: Claim, now: number): boolean =>
  claim.kind === "none" && now >= claim.retryAt;

const stayed = (claim: Claim): Step => ({ claim, effects: [] });
