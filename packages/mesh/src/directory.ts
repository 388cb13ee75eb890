import { peakEwma, type Candidate } from "@plexus/core";

/** What the registry says of one agent instance. */
export interface InstanceInfo {
  readonly agent: string;
  /** Unique id of the instance, one subject token. */
  readonly instance: string;
  /** Name of the process's mesh connection, as given to `connect`. */
  readonly name: string;
  readonly version: string;
  readonly capabilities: readonly string[];
  readonly weight: number;
  readonly concurrency: number;
  readonly host: string;
  readonly pid: number;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** Base URL of the process's /metrics, /livez and /readyz, if it serves them. */
  readonly http?: string;
}

/** A change in what is known: an instance joined, changed its record, or left. */
export type MembershipChange =
  | { readonly type: "joined" | "changed"; readonly instance: InstanceInfo }
  | { readonly type: "left"; readonly instance: InstanceInfo };

const OTHERS_FADE_MS = 1_000;

/** A live instance as callers see it, with the figures that placement goes by. */
export class Peer implements Candidate {
  info: InstanceInfo;
  outstanding = 0;
  #ewmaMs = 0;
  #others = 0;
  #othersAt = -Infinity;
  #observedAt = 0;
  #now: () => number;

  constructor(info: InstanceInfo, now: () => number) {
    this.info = info;
    this.#now = now;
  }

  get id(): string {
    return this.info.instance;
  }

  get weight(): number {
    return this.info.weight;
  }

  /** Fades while no answer comes, so that one slow answer does not keep calls away for good. */
  get ewmaMs(): number {
    return peakEwma(this.#ewmaMs, 0, this.#now() - this.#observedAt);
  }

  /** Load of other callers by the instance's last report, while that is fresh. */
  get others(): number {
    return this.#now() - this.#othersAt < OTHERS_FADE_MS ? this.#others : 0;
  }

  /** Takes note of an answer: how long it took and how many calls the instance had in flight. */
  observe(elapsedMs: number, load: number, now: number): void {
    this.#ewmaMs = peakEwma(this.#ewmaMs, elapsedMs, now - this.#observedAt);
    this.#observedAt = now;
    this.#others = Math.max(0, load - this.outstanding);
    this.#othersAt = now;
  }
}

/** The live instances this process knows of, indexed by what they offer. */
export class Directory {
  readonly #peers = new Map<string, Peer>();
  readonly #agents = new Map<string, Map<string, Peer>>();
  /** Candidates per agent and capability; rebuilt after a change, so their identity tells placements of it. */
  readonly #candidates = new Map<string, Map<string, readonly Peer[]>>();
  readonly #listeners = new Set<(change: MembershipChange) => void>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Live instances of `agent` that offer `capability`, in a stable order. */
  candidates(agent: string, capability: string): readonly Peer[] {
    let byCapability = this.#candidates.get(agent);
    if (byCapability === undefined) {
      byCapability = new Map();
      this.#candidates.set(agent, byCapability);
    }
    let found = byCapability.get(capability);
    if (found === undefined) {
      found = [...(this.#agents.get(agent)?.values() ?? [])]
        .filter((peer) => peer.info.capabilities.includes(capability))
        .toSorted((a, b) => (a.id < b.id ? -1 : 1));
      byCapability.set(capability, found);
    }
    return found;
  }

  has(agent: string): boolean {
    return (this.#agents.get(agent)?.size ?? 0) > 0;
  }

  /** Agents and how many instances of each are live. */
  counts(): Map<string, number> {
    return new Map([...this.#agents].map(([agent, peers]) => [agent, peers.size]));
  }

  peers(): IterableIterator<Peer> {
    return this.#peers.values();
  }

  get(instance: string): Peer | undefined {
    return this.#peers.get(instance);
  }

  put(info: InstanceInfo): void {
    const known = this.#peers.get(info.instance);
    if (known) {
      const changed = JSON.stringify(known.info) !== JSON.stringify(info);
      if (!changed) return;
      known.info = info;
      this.#candidates.delete(info.agent);
      this.#emit({ type: "changed", instance: info });
      return;
    }
    const peer = new Peer(info, this.#now);
    this.#peers.set(info.instance, peer);
    const peers = this.#agents.get(info.agent) ?? new Map<string, Peer>();
    this.#agents.set(info.agent, peers);
    peers.set(info.instance, peer);
    this.#candidates.delete(info.agent);
    this.#emit({ type: "joined", instance: info });
  }

  remove(instance: string): void {
    const peer = this.#peers.get(instance);
    if (peer === undefined) return;
    const { agent } = peer.info;
    this.#peers.delete(instance);
    const peers = this.#agents.get(agent);
    peers?.delete(instance);
    if (peers?.size === 0) this.#agents.delete(agent);
    this.#candidates.delete(agent);
    this.#emit({ type: "left", instance: peer.info });
  }

  /** Calls `listener` on every change; returns the function that ends it. */
  watch(listener: (change: MembershipChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #emit(change: MembershipChange): void {
    for (const listener of this.#listeners) listener(change);
  }
}
