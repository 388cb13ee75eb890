import { MAX_TIMER_MS, KINDS, MeshError, readFrame, type Envelope, type Kind } from "@plexus/core";
import { nowMs } from "./clock.ts";
import type { Link, LinkSubscription } from "./nats/link.ts";

/** A request that waits for its answer. */
export interface Pending {
  readonly id: string;
  /** Reply subject of the frame the request left in. */
  frame: string | undefined;
  /** The instance it went to; undefined while it waits for a connection. */
  readonly target: string | undefined;
  /** The target can tell whether it has it. */
  readonly traceable?: boolean;
  /** Monotonic ms. */
  readonly deadlineMs: number;
  answer(envelope: Envelope): void;
  /** The broker found nobody on the subject: it did not run. */
  notDelivered(): void;
  /** The instance, the request alone, or the connection is gone, or is about to be: it may have run. */
  lost(why: "instance" | "request" | "connection" | "closing"): void;
  timeout(): void;
}

const SWEEP_MS = 10; // between two sweeps: so late may a timeout be
const ANSWERS = new Set<Kind>([KINDS.response, KINDS.error, KINDS.chunk, KINDS.control]);

/**
 * One wildcard subscription for every answer this process waits for, and one timer for all their deadlines: a request
 * costs a map entry instead of a subscription, a timer and a race.
 */
export class Inbox {
  readonly prefix: string;
  readonly #pending = new Map<string, Pending>();
  readonly #heeded = new Map<string, number>();
  readonly #probes = new Map<string, () => void>();
  readonly #subscription: LinkSubscription;
  readonly #onBadMessage: (error: unknown) => void;
  #nextFrame = 0;
  /** When the timer goes off. */
  #dueMs = Infinity;
  #timer: NodeJS.Timeout | undefined;
  readonly #visit = (envelope: Envelope): void => {
    if (ANSWERS.has(envelope.kind)) this.#pending.get(envelope.id)?.answer(envelope);
    else this.#onBadMessage(new MeshError("BAD_MESSAGE", "Not an answer."));
  };

  /** Makes the reply subject of the next frame. */
  readonly nextReply = (): string => `${this.prefix}.${this.#nextFrame++}`;

  constructor(link: Link, prefix: string, onBadMessage: (error: unknown) => void) {
    this.prefix = prefix;
    this.#onBadMessage = onBadMessage;
    this.#subscription = link.subscribe(`${this.prefix}.*`, (data) => this.#receive(data), {
      paced: true,
      onNoResponders: (subject) => this.#noResponders(subject),
    });
  }

  get size(): number {
    return this.#pending.size;
  }

  add(pending: Pending): void {
    this.#pending.set(pending.id, pending);
    if (pending.deadlineMs < this.#dueMs) this.#sweepAt(pending.deadlineMs);
  }

  delete(id: string): void {
    this.#pending.delete(id);
  }

  /** A reply subject on which nothing but "no responders" is of interest; `gone` is called once for it. */
  probe(gone: () => void): string {
    const subject = `${this.prefix}.p${this.#nextFrame++}`;
    this.#probes.set(subject, gone);
    return subject;
  }

  forgetProbe(subject: string): void {
    this.#probes.delete(subject);
  }

  /** Every pending request to this instance is lost. */
  instanceGone(instance: string): void {
    for (const pending of this.#snapshot())
      if (pending.target === instance) pending.lost("instance");
  }

  /** The instance does not have this request, and has sent no answer either. */
  requestGone(id: string): void {
    this.#pending.get(id)?.lost("request");
  }

  /** The requests that wait for an answer, by instance. */
  requests(): Map<string, string[]> {
    const requests = new Map<string, string[]>();
    for (const { id, target, traceable } of this.#pending.values()) {
      if (target === undefined || !traceable) continue;
      const ids = requests.get(target);
      if (ids) ids.push(id);
      else requests.set(target, [id]);
    }
    return requests;
  }

  /** The connection broke: every request under way is lost. */
  connectionLost(): void {
    for (const pending of this.#snapshot()) {
      if (pending.target !== undefined) pending.lost("connection");
    }
  }

  /** The frame with this reply subject never left this process. */
  frameDropped(reply: string): void {
    for (const pending of this.#snapshot()) if (pending.frame === reply) pending.notDelivered();
  }

  /** Somebody has left something with the instance, and wants to know if it vanishes. */
  heed(instance: string): void {
    this.#heeded.set(instance, (this.#heeded.get(instance) ?? 0) + 1);
  }

  unheed(instance: string): void {
    const left = (this.#heeded.get(instance) ?? 0) - 1;
    if (left > 0) this.#heeded.set(instance, left);
    else this.#heeded.delete(instance);
  }

  /** The instances that somebody waits for. */
  targets(): Set<string> {
    const targets = new Set<string>(this.#heeded.keys());
    for (const { target } of this.#pending.values()) if (target !== undefined) targets.add(target);
    return targets;
  }

  /** Ends the subscription and whatever still waits. */
  close(): void {
    for (const pending of this.#snapshot()) pending.lost("closing");
    clearTimeout(this.#timer);
    this.#subscription.unsubscribe();
  }

  #receive(data: Uint8Array): void {
    if (data.length === 0) return; // a peer's liveness probe: that it arrived is the answer
    try {
      readFrame(data, this.#visit);
    } catch (error) {
      this.#onBadMessage(error);
    }
  }

  #noResponders(subject: string): void {
    const gone = this.#probes.get(subject);
    if (gone) {
      this.#probes.delete(subject);
      gone();
    } else this.frameDropped(subject);
  }

  /** One timer for all: a call's deadline is seldom the next one, so adding it seldom moves the timer. */
  #sweepAt(deadlineMs: number, atLeastMs = 1): void {
    clearTimeout(this.#timer);
    this.#dueMs = deadlineMs;
    const waitMs = Math.max(Math.ceil(deadlineMs - nowMs()), atLeastMs); // timers cut fractions off
    this.#timer = setTimeout(() => this.#sweep(), Math.min(waitMs, MAX_TIMER_MS)).unref();
  }

  #sweep(): void {
    const now = nowMs();
    this.#dueMs = Infinity;
    for (const pending of this.#snapshot()) if (pending.deadlineMs <= now) pending.timeout();
    let next = Infinity;
    for (const { deadlineMs } of this.#pending.values()) next = Math.min(next, deadlineMs);
    if (next < this.#dueMs) this.#sweepAt(next, SWEEP_MS);
  }

  #snapshot(): Pending[] {
    return [...this.#pending.values()];
  }
}
