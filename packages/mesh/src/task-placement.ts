import {
  KINDS,
  createPlacement,
  encodePayload,
  type Agent,
  type Envelope,
  type Placement,
  type PlacementSpec,
} from "@plexus/core";
import { nowMs } from "./clock.ts";
import { controlFields } from "./control.ts";
import type { Peer } from "./directory.ts";
import { Pulse } from "./pulse.ts";
import { newId, type Runtime } from "./runtime.ts";

interface Placed {
  readonly peer: Peer;
  readonly sentMs: number;
}

const RECORD_MS = 10_000; // by then whoever is lost is in nobody's directory any more
const MAX_PLACED = 65_536; // beyond, the oldest counts as done

/** What an instance's own lane is called in the place of a tenant; no escaped tenant contains an `@`. */
export const OWN_LANE = "@";

/**
 * Places tasks on instances, for who does not leave it to them to pull: keeps count of what each has and how fast it
 * answers. When one is gone, its hosts are told, who then take what lies on its lane.
 */
export class TaskPlacement {
  readonly #runtime: Runtime;
  readonly #placements = new Map<string, Placement>();
  readonly #placed = new Map<string, Placed>();
  /** Instances that were lost with tasks on their lanes, and until when newcomers may take them for alive. */
  readonly #lost = new Map<string, { readonly agent: string; readonly untilMs: number }>();
  readonly #pulse: Pulse;
  readonly #stop: () => void;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
    // If it is alive after all, its next renewal brings it back.
    this.#pulse = new Pulse(runtime, (instance) => runtime.directory.remove(instance));
    this.#stop = runtime.directory.watch(({ type, instance }) => {
      if (type === "left") this.#gone(instance.agent, instance.instance);
      else if (type === "joined") this.#joined(instance.agent, instance.instance);
    });
  }

  /** Chooses an instance; undefined: there is none, so the task goes where any of them pulls. */
  pick(
    contract: Agent,
    capability: string,
    spec: PlacementSpec,
    key: string | undefined,
  ): Peer | undefined {
    const candidates = this.#runtime.directory.candidates(contract.name, capability);
    if (candidates.length === 0) return undefined;
    const name = `${contract.name}.${capability}.${JSON.stringify(spec)}`;
    let placement = this.#placements.get(name);
    if (placement === undefined) {
      placement = createPlacement(spec);
      this.#placements.set(name, placement);
    }
    return placement.pick(candidates, key, Math.random) as Peer;
  }

  /** The task lies on the instance's lane, and others shall have it when the instance is silent for so long. */
  add(id: string, peer: Peer, silentMs: number): void {
    if (this.#placed.size >= MAX_PLACED) {
      const [oldest] = this.#placed.keys();
      if (oldest !== undefined) this.remove(oldest);
    }
    this.#placed.set(id, { peer, sentMs: nowMs() });
    peer.outstanding++;
    this.#runtime.inbox.heed(peer.id);
    this.#pulse.heed(peer.id, silentMs);
  }

  /** The task has ended, or is not there. */
  remove(id: string, result?: Envelope): void {
    const placed = this.#placed.get(id);
    if (placed === undefined) return;
    this.#placed.delete(id);
    const { peer, sentMs } = placed;
    peer.outstanding--;
    this.#runtime.inbox.unheed(peer.id);
    this.#pulse.unheed(peer.id);
    const now = nowMs();
    if (result) peer.observe(now - sentMs, Math.max(result.load, peer.outstanding), now);
  }

  close(): void {
    this.#stop();
    for (const id of this.#placed.keys()) this.remove(id);
  }

  #gone(agent: string, instance: string): void {
    const lost = [...this.#placed].filter(([, { peer }]) => peer.id === instance);
    if (lost.length === 0) return;
    for (const [id] of lost) this.remove(id);
    this.#lost.set(instance, { agent, untilMs: nowMs() + RECORD_MS });
    this.#tellLost(agent, instance);
  }

  /** Somebody has come who does not know who is lost; or who was lost is back. */
  #joined(agent: string, instance: string): void {
    if (this.#lost.delete(instance)) return;
    for (const [lost, about] of this.#lost) {
      if (nowMs() > about.untilMs) this.#lost.delete(lost);
      else if (about.agent === agent) this.#tellLost(agent, lost);
    }
  }

  #tellLost(agent: string, instance: string): void {
    const { outbox, subjects, link } = this.#runtime;
    if (!link.connected) return;
    outbox.add(subjects.taskControl("lost"), {
      ...controlFields(this.#runtime, "lost", newId()),
      kind: KINDS.control,
      payload: encodePayload({ agent, instance }),
    });
  }
}
