import { nowMs } from "./clock.ts";
import type { Runtime } from "./runtime.ts";

const PERIOD_MS = 1_000; // between two calls to the same instance
const ANSWER_MS = 500;
const AGAIN_MS = 250; // in a cluster, where the news of a subscription takes a moment
const NOTHING = new Uint8Array(0);

/**
 * Asks the broker whether the instances of an entity still listen, and takes those that do not out of the registry. One that
 * was killed stands there for up to ten seconds more: long enough to be given partitions that nobody then serves, most of
 * all by those who joined later and have not seen it fail. One that was merely cut off enters itself again.
 */
export class RollCall {
  readonly #runtime: Runtime;
  readonly #entity: string;
  readonly #self: string;
  readonly #expel: (instance: string) => void;
  readonly #calledMs = new Map<string, number>();
  #closed = false;

  constructor(runtime: Runtime, entity: string, self: string, expel: (instance: string) => void) {
    this.#runtime = runtime;
    this.#entity = entity;
    this.#self = self;
    this.#expel = expel;
  }

  /** Somebody has failed: perhaps others have, too. */
  all(): void {
    for (const { id, info } of this.#runtime.directory.peers()) {
      if (info.agent === this.#entity) this.one(id);
    }
  }

  one(instance: string): void {
    const now = nowMs();
    const called = now - (this.#calledMs.get(instance) ?? -Infinity) < PERIOD_MS;
    // After the broker was away the others may be on their way back.
    if (instance === this.#self || called || now < this.#runtime.returnsUntilMs) return;
    this.#calledMs.set(instance, now);
    for (const [id, at] of this.#calledMs) if (now - at >= PERIOD_MS) this.#calledMs.delete(id);
    this.#call(instance, () => {
      if (this.#runtime.link.clustered) setTimeout(() => this.#callAgain(instance), AGAIN_MS);
      else this.#expel(instance);
    });
  }

  close(): void {
    this.#closed = true;
  }

  #callAgain(instance: string): void {
    this.#call(instance, () => this.#expel(instance));
  }

  #call(instance: string, silent: () => void): void {
    const { inbox, link, subjects } = this.#runtime;
    if (this.#closed || this.#runtime.directory.get(instance) === undefined) return;
    const reply = inbox.probe(() => {
      if (!this.#closed) silent();
    });
    link.publish(subjects.control(instance), NOTHING, reply);
    setTimeout(() => inbox.forgetProbe(reply), ANSWER_MS).unref();
  }
}
