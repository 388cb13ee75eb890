import type { Mesh } from "@plexus/mesh";
import { Phase, type SeatStatus } from "../desk-topics.ts";
import { Latency } from "../latency.ts";
import { nowMicros } from "../micros.ts";
import type { Role } from "../run-plan.ts";
import type { Replica } from "../shard.ts";

/** Which process of the application this is. */
export interface Seat extends Replica {
  readonly role: Role;
}

/** A counter that the hot path increments without looking it up. */
export interface Counter {
  value: number;
}

export interface StationOptions {
  /** The last that was heard of a predecessor on this seat. */
  readonly before: SeatStatus | undefined;
  /** There is something that the desk should learn at once. */
  readonly announce: () => void;
  /** This process cannot go on; another one begins anew in its place. */
  readonly failed: (error: unknown) => void;
}

/**
 * What every role needs beside its own logic: counters, clocks of hops, and the word about how far it is.
 *
 * A process that begins anew folds everything from the start of the run, so what it counts on the way reaches the same
 * totals again; until then the predecessor's are told. What happens outside of the fold (a tally, a latency) goes on from
 * where the predecessor's last word was.
 */
export class Station {
  readonly mesh: Mesh;
  readonly seat: Seat;
  readonly duplicates: Counter = { value: 0 };
  readonly missing: Counter = { value: 0 };
  /** Orders or commands that are under way. */
  readonly inflight: Counter = { value: 0 };
  /** By subject, how many of its events have been handled and timed, by this process or before it. */
  readonly handled: Map<string, number>;
  /** When this process last decided something, µs since the epoch. */
  lastAt: number;
  readonly #before: SeatStatus | undefined;
  readonly #sent = new Map<string, Counter>();
  readonly #received = new Map<string, Counter>();
  readonly #counts = new Map<string, Counter>();
  readonly #latencies = new Map<string, Latency>();
  readonly #options: StationOptions;
  #phase: Phase = "up";
  #failed = false;

  constructor(mesh: Mesh, seat: Seat, options: StationOptions) {
    const { before } = options;
    this.mesh = mesh;
    this.seat = seat;
    this.handled = new Map(Object.entries(before?.handled ?? {}));
    this.lastAt = before?.lastAt ?? 0;
    this.#before = before;
    this.#options = options;
    for (const [hop, counts] of Object.entries(before?.latency ?? {})) {
      this.latency(hop).add(counts);
    }
  }

  sent(hop: string): Counter {
    return counter(this.#sent, hop);
  }

  received(hop: string): Counter {
    return counter(this.#received, hop);
  }

  count(name: string): Counter {
    return counter(this.#counts, name);
  }

  /** Counts what a fold does not bring back: commands and tasks that were executed. */
  tally(hop: string): Counter {
    return counter(this.#received, hop, this.#before?.received[hop]);
  }

  latency(hop: string): Latency {
    let latency = this.#latencies.get(hop);
    if (latency === undefined) {
      latency = new Latency();
      this.#latencies.set(hop, latency);
    }
    return latency;
  }

  /** Phases only ever advance. */
  enter(phase: Phase): void {
    if (Phase.options.indexOf(phase) <= Phase.options.indexOf(this.#phase)) return;
    this.#phase = phase;
    this.#options.announce();
  }

  /** The work of this process cannot go on. */
  fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#options.failed(error);
  }

  get name(): string {
    return seatName(this.seat);
  }

  status(): SeatStatus {
    const { user, system } = process.cpuUsage();
    const before = this.#before;
    return {
      seat: this.name,
      role: this.seat.role,
      pid: process.pid,
      life: (before?.life ?? 0) + 1,
      phase: this.#phase,
      sent: totals(this.#sent, before?.sent),
      received: totals(this.#received, before?.received),
      duplicates: Math.max(this.duplicates.value, before?.duplicates ?? 0),
      missing: Math.max(this.missing.value, before?.missing ?? 0),
      counts: totals(this.#counts, before?.counts),
      latency: Object.fromEntries(
        [...this.#latencies].map(([hop, latency]) => [hop, latency.counts()]),
      ),
      handled: Object.fromEntries(this.handled),
      inflight: this.inflight.value,
      lastAt: this.lastAt,
      cpuMs: (before?.cpuMs ?? 0) + (user + system) / 1_000,
    };
  }
}

/** `technical-0`: what a process is called in the mesh and in reports. */
export function seatName({ role, index }: { role: Role; index: number }): string {
  return `${role}-${index}`;
}

/** Times a hop from the stamp of its sender until now. */
export function since(stampUs: number): number {
  return nowMicros() - stampUs;
}

function counter(counters: Map<string, Counter>, name: string, first = 0): Counter {
  let found = counters.get(name);
  if (found === undefined) {
    found = { value: first };
    counters.set(name, found);
  }
  return found;
}

function totals(
  counters: Map<string, Counter>,
  before: Readonly<Record<string, number>> = {},
): Record<string, number> {
  const all = { ...before };
  for (const [name, { value }] of counters) all[name] = Math.max(value, before[name] ?? 0);
  return all;
}
