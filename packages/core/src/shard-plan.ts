import { hash32 } from "./hash.ts";
import { createAssigner, type Assignment } from "./assignment.ts";
import type { ShardConfig } from "./shard-config.ts";
import type { Membership } from "./shard-membership.ts";

type Assign = (previous: Assignment) => Assignment;

/** What the plan is for: this process takes part, waits until it may, or hands everything over. */
export type PlanMode = "waiting" | "taking" | "leaving";

interface Assigners {
  readonly takers: Assign;
  readonly rescuers: Assign;
  readonly keepers: Assign;
}

/**
 * Who should have which partition, by who is there and who has what: in three ways, see {@link Membership}. Those who are
 * to take what nobody has include members that are too new to be given what somebody has. Their quotas are lower for it,
 * so nobody takes what it would have to give away again. But what has been left to run out is rescued by those who have seen
 * it run out: newcomers that keep coming would be waited for again and again.
 */
export class ShardPlan {
  readonly #config: ShardConfig;
  readonly #members: Membership;
  readonly #holders: (string | undefined)[];
  #takers: Assignment = [];
  #rescuers: Assignment = [];
  #keepers: Assignment = [];
  #assign: Assigners | undefined;
  #version = -1;
  #mode: PlanMode = "waiting";
  #outdated = false;

  constructor(config: ShardConfig, members: Membership) {
    this.#config = config;
    this.#members = members;
    this.#holders = Array.from({ length: config.partitions });
  }

  /** Who is to take the partition if nobody has it. */
  taker(partition: number): string | undefined {
    return this.#takers[partition];
  }

  /** Who is to take the partition if its lease has run out. */
  rescuer(partition: number): string | undefined {
    return this.#rescuers[partition];
  }

  /**
   * How many come before this process in taking a partition whose lease has run out: 0 is its rescuer, the others follow by the hash
   * of both, each partition in an order of its own. Infinity: this process has not been there for long enough.
   */
  rank(partition: number): number {
    const self = this.#config.self.id;
    const rescuer = this.rescuer(partition);
    if (rescuer === self) return 0;
    if (this.#mode !== "taking" || rescuer === undefined) return Infinity;
    const ids = this.#members.seasoned().map(({ id }) => id);
    if (!ids.includes(self)) return Infinity;
    const place = (id: string): number => hash32(id, partition);
    const own = place(self);
    return 1 + ids.filter((id) => id !== rescuer && id !== self && place(id) < own).length;
  }

  /** Who is to have the partition, even if somebody else has it now. */
  keeper(partition: number): string | undefined {
    return this.#keepers[partition];
  }

  holder(partition: number): string | undefined {
    return this.#holders[partition];
  }

  /** Notes who has a partition. What the plan foresaw does not change it. */
  hold(partition: number, holder: string | undefined): void {
    if (holder === this.#holders[partition]) return;
    this.#holders[partition] = holder;
    const asPlanned =
      this.taker(partition) === holder &&
      this.rescuer(partition) === holder &&
      this.keeper(partition) === holder;
    if (!asPlanned) this.#outdated = true;
  }

  /**
   * Makes the plan anew if anything has changed.
   * @returns whether anything had
   */
  update(mode: PlanMode): boolean {
    const { version } = this.#members;
    if (version !== this.#version || mode !== this.#mode) this.#assign = this.#assigners(mode);
    else if (!this.#outdated) return false;
    this.#version = version;
    this.#mode = mode;
    this.#outdated = false;
    const { takers, rescuers, keepers } = this.#assign!;
    this.#takers = takers(this.#holders);
    this.#rescuers = rescuers === takers ? this.#takers : rescuers(this.#holders);
    this.#keepers = keepers === takers ? this.#takers : keepers(this.#holders);
    return true;
  }

  #assigners(mode: PlanMode): Assigners {
    const { partitions, capacityFactor } = this.#config;
    const members = this.#members;
    const among = (candidates: Parameters<typeof createAssigner>[0]): Assign =>
      createAssigner(candidates, partitions, capacityFactor);
    if (mode === "leaving") {
      const heirs = among(members.others());
      return { takers: heirs, rescuers: heirs, keepers: heirs };
    }
    const trusted = mode === "waiting" ? [] : members.trusted();
    const seasoned = mode === "waiting" ? [] : members.seasoned();
    const takers = among(trusted);
    return {
      takers,
      rescuers: seasoned.length === trusted.length ? takers : among(seasoned),
      keepers: members.calm ? takers : among(members.counted()),
    };
  }
}
