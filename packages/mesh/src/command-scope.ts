import { MeshError, type Entity, type Envelope, type RecordedEvent } from "@plexus/core";
import type { z } from "zod";
import type { ActiveKey } from "./active-key.ts";
import { Scope, type Context } from "./context.ts";
import type { Logger } from "./log.ts";

/** What the handler of a command is told, and how it records what it decides. */
export interface EntityContext<E extends Entity = Entity> extends Context {
  /** Id of the command: the same however often it is sent. */
  readonly id: string;
  readonly key: string;
  /** The fold of the key's events, those of this command included. Not to be mutated. */
  readonly state: z.output<E["state"]>;
  /** Sequence of the key's last record; 0: nothing was ever recorded. */
  readonly version: number;
  /**
   * Adds an event, which changes `state` at once. The events of a command are recorded together when its handler returns,
   * and none of them if it throws. Throws `INVALID_INPUT` for data outside its schema.
   */
  emit<K extends keyof E["events"] & string>(event: K, data: z.input<E["events"][K]>): void;
}

/** The scope of one execution of a command. */
export class CommandScope extends Scope implements EntityContext {
  override readonly id: string;
  readonly key: string;
  readonly version: number;
  readonly events: RecordedEvent[] = [];
  state: unknown;
  /** The handler has ended: what it left behind emits nothing any more. */
  ended = false;
  readonly #active: ActiveKey;

  constructor(active: ActiveKey, id: string, envelope: Envelope, deadlineMs: number, log: Logger) {
    super(envelope, deadlineMs, log);
    this.id = id;
    this.#active = active;
    this.key = active.key;
    this.version = active.version;
    this.state = active.state;
  }

  emit(name: string, data: unknown): void {
    if (this.canceled) throw this.canceled;
    if (this.ended) {
      throw new MeshError("CONFLICT", `emit(${name}) after the handler of ${this.key} has ended.`, {
        retryable: false,
      });
    }
    const { state, event } = this.#active.apply(this.state, name, data);
    this.state = state;
    this.events.push(event);
  }
}
