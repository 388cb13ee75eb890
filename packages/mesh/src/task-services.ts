import { MeshError, isMeshError } from "@plexus/core";
import { nowMs } from "./clock.ts";
import type { JetStream } from "./nats/jetstream.ts";
import type { TaskStore } from "./nats/task-store.ts";
import type { Runtime } from "./runtime.ts";

const PAUSE_MS = 100;
const MAX_PAUSE_MS = 2_000;

/** What submitting and executing tasks share. */
export class TaskServices {
  readonly runtime: Runtime;
  readonly js: JetStream;
  readonly store: TaskStore;
  #closed = false;

  constructor(runtime: Runtime, js: JetStream, store: TaskStore) {
    this.runtime = runtime;
    this.js = js;
    this.store = store;
  }

  /**
   * Repeats a write until the broker has taken or refused it, through disconnections. The write must be safe to repeat.
   * Rejects with what refused it, `CONFLICT` above all, or with the last failure once `untilMs` (monotonic) has passed.
   */
  async surely<T>(write: () => Promise<T>, untilMs = Infinity): Promise<T> {
    for (let pause = PAUSE_MS; ; pause = Math.min(pause * 2, MAX_PAUSE_MS)) {
      try {
        // oxlint-disable-next-line no-await-in-loop -- again only after a failure
        return await write();
      } catch (error) {
        const passing =
          isMeshError(error, "TIMEOUT") ||
          isMeshError(error, "NOT_CONNECTED") ||
          isMeshError(error, "OVERLOADED");
        if (!passing || this.#closed || nowMs() + pause >= untilMs) throw error;
        // oxlint-disable-next-line no-await-in-loop
        await this.#pause(pause);
        this.store.forget();
        // oxlint-disable-next-line no-await-in-loop
        await this.store.open().catch(() => undefined);
      }
    }
  }

  close(): void {
    this.#closed = true;
  }

  /** Waits, but not longer than until the connection is back. */
  async #pause(ms: number): Promise<void> {
    if (this.#closed)
      throw new MeshError("NOT_CONNECTED", "This connection to the mesh is closed.");
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      if (this.runtime.link.connected) return;
      this.runtime.whenConnected(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}
