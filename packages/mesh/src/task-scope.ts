import { MeshError, encodePayload, escapeKey, isMeshError, type Envelope } from "@plexus/core";
import { Scope } from "./context.ts";
import type { Logger } from "./log.ts";
import { readEnvelope, envelopeBytes, resultFields } from "./task-message.ts";
import type { TaskServices } from "./task-services.ts";

/** What a scope needs of the execution that it belongs to. */
export interface Execution {
  readonly attempt: number;
  readonly instance: string;
  /** An earlier execution may have recorded effects. */
  readonly repeated: boolean;
  progress(fraction: number, note: string | undefined): void;
}

/** The scope of a handler that executes a task. */
export class TaskScope extends Scope {
  readonly #services: TaskServices;
  readonly #execution: Execution;
  readonly #names = new Set<string>();

  constructor(
    services: TaskServices,
    execution: Execution,
    envelope: Envelope,
    deadlineMs: number,
    log: Logger,
  ) {
    super(envelope, deadlineMs, log);
    this.#services = services;
    this.#execution = execution;
  }

  override get attempt(): number {
    return this.#execution.attempt;
  }

  override progress(fraction: number, note?: string): void {
    this.#execution.progress(Math.min(1, Math.max(0, fraction)), note);
  }

  override async effect<T>(name: string, run: (key: string) => T | Promise<T>): Promise<T> {
    if (this.#names.has(name)) {
      throw new MeshError(
        "DUPLICATE",
        `Effect ${name} is in this execution already; each needs a name of its own.`,
      );
    }
    this.#names.add(name);
    const { js, store, runtime } = this.#services;
    const subject = runtime.subjects.effect(this.id, escapeKey(name));
    const recorded = async (): Promise<{ value: T } | undefined> => {
      const message = await this.#services.surely(() => js.last(store.effects, subject));
      return message && { value: readEnvelope(message.data).value as T };
    };
    if (this.#execution.repeated) {
      const earlier = await recorded();
      if (earlier) return earlier.value;
    }
    const value = await run(`${this.id}:${name}`);
    encodePayload(value); // what cannot be recorded is an error here, not a silent repetition later
    const task = { id: this.id, client: this.sender, name };
    const bytes = envelopeBytes(
      resultFields(task, this.#execution.instance, { value }, this.attempt),
    );
    for (;;) {
      // Again only if it was refused for an attempt that was never stored.
      try {
        await this.#services.surely(() => js.publish(subject, bytes));
        return value;
      } catch (error) {
        if (!isMeshError(error, "CONFLICT")) throw error;
      }
      const first = await this.#services.surely(() => store.certainly(store.effects, subject));
      if (first) return readEnvelope(first.data).value as T; // another execution was faster, or an answer was lost
    }
  }
}
