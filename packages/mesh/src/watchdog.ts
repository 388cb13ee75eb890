import { MeshError } from "@plexus/core";
import { ask } from "./ask.ts";
import { nowMs } from "./clock.ts";
import type { HostedAgent } from "./host.ts";
import type { Runtime } from "./runtime.ts";

const TICK_MS = 50;
const PROBE_EVERY_TICKS = 5;
const PROBE_CALLER_AFTER_MS = 500;
const TRACE_EVERY_TICKS = 20;
const TRACE_TIMEOUT_MS = 5_000;
const MAX_TRACED = 256; // of one instance at a time: what is asked about must fit a message
const NOTHING = new Uint8Array(0);

/**
 * Finds out who has vanished while somebody waits for them. The broker knows at once when a process dies; an empty
 * message to its subject, answered by "no responders", makes it tell. So a caller learns that its host was killed, and
 * a host that its caller was, within a quarter of a second instead of at the deadline. Also ends handlers whose deadline passed.
 */
export class Watchdog {
  readonly #runtime: Runtime;
  readonly #hosts: Set<HostedAgent>;
  /** Instances that somebody waited for at the last probe. */
  #busy = new Set<string>();
  /** Reply subjects of the running probes, by probed subject. */
  readonly #probes = new Map<string, string>();
  /** Requests that waited when it was last asked about them, and instances that have yet to answer. */
  #waiting = new Set<string>();
  readonly #tracing = new Set<string>();
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
    if (this.#ticks % TRACE_EVERY_TICKS === 0) this.#trace();
    this.#probe(new Map([...this.#slowInstances(), ...this.#slowCallers(now)]));
  }

  /** The instances that have kept somebody waiting for a whole period, in the registry or not. */
  *#slowInstances(): Iterable<[subject: string, gone: () => void]> {
    const { absentees, inbox, subjects } = this.#runtime;
    const busyBefore = this.#busy;
    this.#busy = inbox.targets();
    for (const instance of this.#busy) {
      if (!busyBefore.has(instance)) continue;
      yield [
        subjects.control(instance),
        () => {
          absentees.miss(instance);
          inbox.instanceGone(instance);
        },
      ];
    }
  }

  /**
   * Asks instances for the requests that have waited for a whole period. In a cluster, one that is alive may never have got them, or its
   * answer is lost: with a broker that died in between.
   */
  #trace(): void {
    const { inbox, link } = this.#runtime;
    if (!link.clustered) return;
    const before = this.#waiting;
    this.#waiting = new Set();
    for (const [instance, ids] of inbox.requests()) {
      for (const id of ids) this.#waiting.add(id);
      const old = ids.filter((id) => before.has(id)).slice(0, MAX_TRACED);
      if (old.length > 0 && !this.#tracing.has(instance)) void this.#traceAt(instance, old);
    }
  }

  async #traceAt(instance: string, ids: string[]): Promise<void> {
    this.#tracing.add(instance);
    try {
      const missing = await ask(this.#runtime, instance, "missing", TRACE_TIMEOUT_MS, ids);
      for (const id of missing as string[]) this.#runtime.inbox.requestGone(id);
    } catch {
      // Whoever is gone, or hangs, is none that has lost a request; it is asked again.
    } finally {
      this.#tracing.delete(instance);
    }
  }

  #slowCallers(now: number): [subject: string, gone: () => void][] {
    const inboxes = new Set<string>();
    for (const host of this.#hosts) {
      for (const call of host.running.values()) {
        const { callerInbox } = call;
        if (callerInbox && now - call.arrivedMs > PROBE_CALLER_AFTER_MS) inboxes.add(callerInbox);
      }
    }
    return [...inboxes].map((inbox) => [inbox, () => this.#callerGone(inbox)]);
  }

  #callerGone(inbox: string): void {
    for (const host of this.#hosts) {
      for (const call of host.running.values()) {
        if (call.callerInbox === inbox)
          call.cancel(new MeshError("CANCELED", "The caller has vanished."));
      }
    }
  }

  /** A probe that brings no answer found somebody alive; it is repeated until nobody wants to know. */
  #probe(wanted: Map<string, () => void>): void {
    const { inbox, link } = this.#runtime;
    for (const [subject, reply] of this.#probes) {
      if (wanted.has(subject)) continue;
      inbox.forgetProbe(reply);
      this.#probes.delete(subject);
    }
    for (const [subject, gone] of wanted) {
      const reply =
        this.#probes.get(subject) ??
        inbox.probe(() => {
          this.#probes.delete(subject);
          gone();
        });
      this.#probes.set(subject, reply);
      link.publish(subject, NOTHING, reply);
    }
  }
}
