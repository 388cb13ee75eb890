import { MeshError } from "@plexus/core";
import { nowMs } from "./clock.ts";
import type { HostedAgent } from "./host.ts";
import type { Runtime } from "./runtime.ts";

const TICK_MS = 50;
const PROBE_EVERY_TICKS = 5;
const PROBE_CALLER_AFTER_MS = 500;
const NOTHING = new Uint8Array(0);

/**
 * Finds out who has vanished while somebody waits for them. The broker knows at once when a process dies; an empty
 * message to its subject, answered by "no responders", makes it tell. So a caller learns that its host was killed, and
 * a host that its caller was, within a quarter of a second instead of at the deadline. Also ends handlers whose deadline passed.
 */
export class Watchdog {
  readonly #runtime: Runtime;
  readonly #hosts: Set<HostedAgent>;
  readonly #busy = new Set<string>();
  readonly #probes = new Map<string, string>();
  readonly #timer: NodeJS.Timeout;
  #ticks = 0;

  constructor(runtime: Runtime, hosts: Set<HostedAgent>) {
    this.#runtime = runtime;
    this.#hosts = hosts;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    const now = nowMs();
    const late: [HostedAgent, string][] = [];
    for (const host of this.#hosts) {
      for (const call of host.running.values()) {
        if (call.deadlineMs <= now) late.push([host, call.id]);
      }
    }
    for (const [host, id] of late) {
      host.running
        .get(id)
        ?.cancel(
          new MeshError("DEADLINE_EXCEEDED", "The caller's deadline passed while the handler ran."),
        );
    }
    if (++this.#ticks % PROBE_EVERY_TICKS !== 0 || !this.#runtime.link.connected) return;
    this.#probeInstances();
    this.#probeCallers(now);
  }

  /** Probes the instances that have kept somebody waiting for a whole period. */
  #probeInstances(): void {
    const { directory, inbox, subjects } = this.#runtime;
    const busyBefore = new Set(this.#busy);
    this.#busy.clear();
    for (const peer of directory.peers()) {
      if (peer.outstanding === 0) continue;
      this.#busy.add(peer.id);
      if (!busyBefore.has(peer.id)) continue;
      this.#probe(subjects.control(peer.id), () => {
        directory.remove(peer.id);
        inbox.instanceGone(peer.id);
      });
    }
  }

  #probeCallers(now: number): void {
    const inboxes = new Set<string>();
    for (const host of this.#hosts) {
      for (const call of host.running.values()) {
        const { callerInbox } = call;
        if (callerInbox && now - call.arrivedMs > PROBE_CALLER_AFTER_MS) inboxes.add(callerInbox);
      }
    }
    for (const inbox of inboxes) this.#probe(inbox, () => this.#callerGone(inbox));
  }

  #callerGone(inbox: string): void {
    for (const host of this.#hosts) {
      for (const call of [...host.running.values()]) {
        if (call.callerInbox === inbox)
          call.cancel(new MeshError("CANCELED", "The caller has vanished."));
      }
    }
  }

  #probe(subject: string, gone: () => void): void {
    const { inbox, link } = this.#runtime;
    // One probe per subject at a time: the previous one was answered by silence, which means alive.
    const previous = this.#probes.get(subject);
    if (previous !== undefined) inbox.forgetProbe(previous);
    const reply = inbox.probe(() => {
      this.#probes.delete(subject);
      gone();
    });
    this.#probes.set(subject, reply);
    if (this.#probes.size > 4_096) this.#probes.clear();
    link.publish(subject, NOTHING, reply);
  }
}
