import type { RingMember } from "./ring.ts";

/** How long changes of membership are waited out, in ms. */
export interface MembershipTiming {
  /** A new member counts once nothing has changed for this long … */
  readonly settleMs: number;
  /** … or for this long something has, so that members that come and go cannot keep others out for ever. */
  readonly settleMaxMs: number;
  /** A member that has been there for less cannot tell yet that a lease has run out. */
  readonly seasonMs: number;
  /** A member that failed to keep or claim its leases is left out for this long, unless it is heard of again. */
  readonly silentMs: number;
}

type Phase =
  | { readonly kind: "new" } // has seen no membership yet
  | { readonly kind: "changing"; readonly since: number; readonly last: number }
  | { readonly kind: "calm" };

/**
 * Who counts when partitions are assigned. What nobody has may go to everybody who is there. What somebody has goes to
 * one that has joined only when the membership has settled, since that interrupts what is served. Who leaves or falls
 * silent stops counting at once. So a member that is gone for less than the settling time, or there for less, takes
 * nothing away from others.
 *
 * `self` is always there: a process knows that it runs, whatever the registry says.
 */
export class Membership {
  readonly #self: RingMember;
  readonly #timing: MembershipTiming;
  #phase: Phase = { kind: "new" };
  #present = new Map<string, RingMember>();
  #settled = new Map<string, RingMember>();
  readonly #silent = new Map<string, number>(); // until when
  readonly #unseasoned = new Map<string, number>(); // until when
  readonly #leaving = new Set<string>();
  #version = 0;

  constructor(self: RingMember, timing: MembershipTiming) {
    this.#self = self;
    this.#timing = timing;
  }

  /** Rises whenever any of the answers may be another one. */
  get version(): number {
    return this.#version;
  }

  /** Whether the first membership has settled. */
  get settled(): boolean {
    return this.#settled.size > 0;
  }

  /** Whether everybody who is there counts. */
  get calm(): boolean {
    return this.#phase.kind === "calm";
  }

  update(members: readonly RingMember[], now: number): void {
    const present = new Map(members.map((member) => [member.id, member]));
    if (!present.has(this.#self.id)) present.set(this.#self.id, this.#self);
    if (this.#phase.kind !== "new" && same(present, this.#present)) return;
    for (const id of present.keys()) {
      if (!this.#present.has(id)) this.#unseasoned.set(id, now + this.#timing.seasonMs);
    }
    this.#present = present;
    this.#version++;
    for (const id of this.#unseasoned.keys()) if (!present.has(id)) this.#unseasoned.delete(id);
    for (const id of this.#silent.keys()) if (!present.has(id)) this.#silent.delete(id);
    for (const id of this.#leaving) if (!present.has(id)) this.#leaving.delete(id);
    if (this.settled && same(present, this.#settled)) this.#phase = { kind: "calm" };
    else {
      const since = this.#phase.kind === "changing" ? this.#phase.since : now;
      this.#phase = { kind: "changing", since, last: now };
    }
  }

  /** To be called again and again: lets changes settle and silence lapse. */
  tick(now: number): void {
    for (const [id, until] of this.#silent) {
      if (now < until) continue;
      this.#silent.delete(id);
      this.#version++;
    }
    for (const [id, until] of this.#unseasoned) {
      if (now < until) continue;
      this.#unseasoned.delete(id);
      this.#version++;
    }
    if (this.#phase.kind !== "changing") return;
    const { since, last } = this.#phase;
    const { settleMs, settleMaxMs } = this.#timing;
    if (now - last < settleMs && now - since < settleMaxMs) return;
    this.#settled = this.#present;
    this.#phase = { kind: "calm" };
    this.#version++;
  }

  /** This member did not do what was its turn: it is dead, stopped or cut off, whatever the registry says. */
  blame(id: string, now: number): void {
    if (id === this.#self.id || !this.#present.has(id)) return;
    if (!this.#silent.has(id)) this.#version++;
    this.#silent.set(id, now + this.#timing.silentMs);
  }

  /** This member has written a lease: it is alive. */
  heard(id: string): void {
    if (this.#silent.delete(id)) this.#version++;
  }

  /** This member is about to leave: it takes nothing any more. The registry may not know yet. */
  farewell(id: string): void {
    if (!this.#present.has(id) || this.#leaving.has(id)) return;
    this.#leaving.add(id);
    this.#version++;
  }

  /** Whether this member is there, not silent and not about to leave. */
  trusts(id: string): boolean {
    return this.#present.has(id) && !this.#silent.has(id) && !this.#leaving.has(id);
  }

  /** Those for whom others give partitions up; nobody before the first membership has settled. */
  counted(): readonly RingMember[] {
    return [...this.#settled.values()].filter(({ id }) => this.trusts(id));
  }

  /** All that are there, new ones included. */
  trusted(): readonly RingMember[] {
    return [...this.#present.values()].filter(({ id }) => this.trusts(id));
  }

  /** Those of them who have been there for long enough to see that a lease runs out; all, if nobody has. */
  seasoned(): readonly RingMember[] {
    const trusted = this.trusted();
    const seasoned = trusted.filter(({ id }) => !this.#unseasoned.has(id));
    return seasoned.length > 0 ? seasoned : trusted;
  }

  /** All that are there without this process: its heirs when it leaves. */
  others(): readonly RingMember[] {
    return this.trusted().filter(({ id }) => id !== this.#self.id);
  }
}

function same(a: ReadonlyMap<string, RingMember>, b: ReadonlyMap<string, RingMember>): boolean {
  if (a.size !== b.size) return false;
  for (const [id, { weight }] of a) if (b.get(id)?.weight !== weight) return false;
  return true;
}
