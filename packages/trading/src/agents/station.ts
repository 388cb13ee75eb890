import type { Mesh } from "@plexus/mesh";
import { Phase, type SeatStatus } from "../contracts.ts";
import { Latency } from "../latency.ts";
import { nowMicros } from "../micros.ts";
import type { Role } from "../run-plan.ts";
import type { Replica } from "../shard.ts";
import { Inflow } from "./inflow.ts";

/** Which process of the application this is. */
export interface Seat extends Replica {
  readonly role: Role;
}

/** A counter that the hot path increments without looking it up. */
export interface Counter {
  value: number;
}

/** What every role needs beside its own logic: counters, clocks of hops, and the word about how far it is. */
export class Station {
  readonly mesh: Mesh;
  readonly seat: Seat;
  readonly #sent = new Map<string, Counter>();
  readonly #received = new Map<string, Counter>();
  readonly #counts = new Map<string, Counter>();
  readonly #latencies = new Map<string, Latency>();
  readonly #inflows: Inflow[] = [];
  readonly #announce: () => void;
  readonly duplicates: Counter = { value: 0 };
  /** Orders or calls that are under way. */
  readonly inflight: Counter = { value: 0 };
  /** When this process last decided something, µs since the epoch. */
  lastAt = 0;
  #phase: Phase = "up";
  #error: SeatStatus["error"];

  /** `announce` is called when there is something that the desk should learn at once. */
  constructor(mesh: Mesh, seat: Seat, announce: () => void) {
    this.mesh = mesh;
    this.seat = seat;
    this.#announce = announce;
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

  latency(hop: string): Latency {
    let latency = this.#latencies.get(hop);
    if (latency === undefined) {
      latency = new Latency();
      this.#latencies.set(hop, latency);
    }
    return latency;
  }

  inflow(endsExpected: number): Inflow {
    const inflow = new Inflow(endsExpected);
    this.#inflows.push(inflow);
    return inflow;
  }

  /** Phases only ever advance. */
  enter(phase: Phase): void {
    if (Phase.options.indexOf(phase) <= Phase.options.indexOf(this.#phase)) return;
    this.#phase = phase;
    this.#announce();
  }

  /** The work of this process cannot go on. */
  fail(error: unknown): void {
    if (this.#phase === "failed") return;
    const code = error instanceof Error && "code" in error ? String(error.code) : "AGENT_FAILED";
    this.#error = { code, message: error instanceof Error ? error.message : String(error) };
    this.#phase = "failed";
    this.#announce();
  }

  get name(): string {
    return seatName(this.seat);
  }

  status(): SeatStatus {
    const { user, system } = process.cpuUsage();
    const repeated = this.#inflows.reduce((sum, { duplicates }) => sum + duplicates, 0);
    return {
      seat: this.name,
      role: this.seat.role,
      pid: process.pid,
      phase: this.#phase,
      sent: values(this.#sent),
      received: values(this.#received),
      duplicates: this.duplicates.value + repeated,
      counts: values(this.#counts),
      latency: Object.fromEntries(
        [...this.#latencies].map(([hop, latency]) => [hop, latency.counts()]),
      ),
      inflight: this.inflight.value,
      lastAt: this.lastAt,
      cpuMs: (user + system) / 1_000,
      ...(this.#error === undefined ? {} : { error: this.#error }),
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

function counter(counters: Map<string, Counter>, name: string): Counter {
  let found = counters.get(name);
  if (found === undefined) {
    found = { value: 0 };
    counters.set(name, found);
  }
  return found;
}

function values(counters: Map<string, Counter>): Record<string, number> {
  return Object.fromEntries([...counters].map(([name, { value }]) => [name, value]));
}
