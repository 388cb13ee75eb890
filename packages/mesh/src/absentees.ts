import { ask } from "./ask.ts";
import { nowMs } from "./clock.ts";
import type { InstanceInfo } from "./directory.ts";
import type { InstanceReport } from "./instance-report.ts";
import type { Runtime } from "./runtime.ts";

const WAIT_MS = 10_000; // as long as a registry record lives that nobody renews
const ASK_EVERY_MS = 200;
const ANSWER_MS = 2_000;

/**
 * Instances of a cluster that are not to be found although nobody has said that they left: the broker knows nobody of that
 * name, or their record could not be renewed. Those whose own broker died are back at another one within a second, but
 * cannot say so while the registry has no leader. So they are asked directly until they answer or their time is over.
 * With a single broker there is nothing to wait for: what it does not know is not there.
 */
export class Absentees {
  readonly #runtime: Runtime;
  readonly #absent = new Map<string, { readonly info: InstanceInfo; readonly untilMs: number }>();
  readonly #asked = new Set<string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Takes an instance out of the directory; in a cluster, until it answers. */
  miss(instance: string): void {
    const { directory, link } = this.#runtime;
    const peer = directory.get(instance);
    if (peer === undefined) return;
    if (link.clustered) {
      // Before listeners hear that it is gone: they ask whether it may come back.
      this.#absent.set(instance, { info: peer.info, untilMs: nowMs() + WAIT_MS });
      this.#timer ??= setInterval(() => this.#askAll(), ASK_EVERY_MS).unref();
    }
    directory.remove(instance);
  }

  /** It has said that it leaves, or that it is here. */
  forget(instance: string): void {
    this.#absent.delete(instance);
  }

  /** Monotonic ms until which an instance of the agent may come back; -Infinity: none is missed. */
  untilMs(agent: string): number {
    let latest = -Infinity;
    for (const { info, untilMs } of this.#absent.values()) {
      if (info.agent === agent) latest = Math.max(latest, untilMs);
    }
    return latest;
  }

  close(): void {
    this.#absent.clear();
    clearInterval(this.#timer);
  }

  #askAll(): void {
    const now = nowMs();
    for (const [instance, { untilMs }] of this.#absent) {
      if (untilMs <= now) this.#absent.delete(instance);
      else if (!this.#asked.has(instance)) void this.#ask(instance);
    }
    if (this.#absent.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #ask(instance: string): Promise<void> {
    if (!this.#runtime.link.connected) return;
    this.#asked.add(instance);
    try {
      const report = (await ask(this.#runtime, instance, "describe", ANSWER_MS)) as InstanceReport;
      const absent = this.#absent.get(instance);
      if (absent === undefined || report.draining) return;
      this.#absent.delete(instance);
      this.#runtime.directory.put(absent.info);
    } catch {
      // Not there yet; it is asked again.
    } finally {
      this.#asked.delete(instance);
    }
  }
}
