import { isMeshError } from "@plexus/core";
import { ask } from "./ask.ts";
import { nowMs } from "./clock.ts";
import type { Runtime } from "./runtime.ts";

interface Heeded {
  users: number;
  readonly timer: NodeJS.Timeout;
  asking: boolean;
}

const PERIOD = 1 / 6; // of the time in which there must be a sign of life
const PATIENCE = 2 / 3; // of it
const LATE_MS = 200; // an answer that this process itself was too busy to read is no silence

/**
 * Asks instances for signs of life while somebody has left work with them. A process that hangs keeps its connection, so
 * that the broker, which knows at once who has died, does not notice.
 */
export class Pulse {
  readonly #runtime: Runtime;
  readonly #silent: (instance: string) => void;
  readonly #heeded = new Map<string, Heeded>();

  /** @param silent hears of an instance that gives no sign of life, or that is gone */
  constructor(runtime: Runtime, silent: (instance: string) => void) {
    this.#runtime = runtime;
    this.#silent = silent;
  }

  /** One more cares about the instance, who wants to hear within so many ms that it is silent. */
  heed(instance: string, withinMs: number): void {
    const known = this.#heeded.get(instance);
    if (known) {
      known.users++;
      return;
    }
    const timer = setInterval(
      () => void this.#ask(instance, withinMs * PATIENCE),
      withinMs * PERIOD,
    );
    timer.unref();
    this.#heeded.set(instance, { users: 1, timer, asking: false });
  }

  unheed(instance: string): void {
    const known = this.#heeded.get(instance);
    if (known === undefined || --known.users > 0) return;
    clearInterval(known.timer);
    this.#heeded.delete(instance);
  }

  async #ask(instance: string, patienceMs: number): Promise<void> {
    const heeded = this.#heeded.get(instance);
    if (heeded === undefined || heeded.asking || !this.#runtime.link.connected) return;
    heeded.asking = true;
    const began = nowMs();
    try {
      await ask(this.#runtime, instance, "ping", patienceMs);
    } catch (error) {
      const gone = isMeshError(error, "NO_AGENT");
      const silent = isMeshError(error, "TIMEOUT") && nowMs() - began < patienceMs + LATE_MS;
      if ((gone || silent) && this.#heeded.has(instance)) this.#silent(instance);
    } finally {
      heeded.asking = false;
    }
  }
}
