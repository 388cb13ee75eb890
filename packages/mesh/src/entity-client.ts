import {
  KINDS,
  MeshError,
  commandTimeoutMs,
  escapeKey,
  isMeshError,
  partitionOf,
  toMs,
  type Command,
  type Duration,
  type Entity,
} from "@plexus/core";
import type { z } from "zod";
import { nowMs, nowUs } from "./clock.ts";
import { currentScope } from "./context.ts";
import { EntityCall, rootTrace, type CommandOptions, type EntityRoute } from "./entity-call.ts";
import { commandPayload, demandCommandId, demandKey, encodeInput } from "./entity-command.ts";
import { pastOf, type EntityPast } from "./entity-past.ts";
import type { EntityServices } from "./entity-services.ts";
import { newId } from "./runtime.ts";
import { envelopeBytes } from "./task-message.ts";

/** Options of one durable command. */
export interface SendOptions {
  /** Of the command: sent again with the same id, it is not executed again. Default: a new one. */
  readonly id?: string;
  /** How long to wait for the broker to store it. Default 30 s: a cluster that has lost a leader may need ten and more for the next. */
  readonly timeout?: Duration;
}

/** A durable command that the broker has stored. */
export interface SentCommandHandle<Output> {
  readonly id: string;
  /** Waits until it has been executed, for 30 s unless said otherwise; rejects with the error it ended with, if it did. */
  result(options?: { timeout?: Duration; signal?: AbortSignal }): Promise<Output>;
}

/** A command as a caller sees it: called, it waits for the outcome; sent, it is stored and executed whoever dies. */
export interface CommandCall<C extends Command> {
  (input: z.input<C["input"]>, options?: CommandOptions): Promise<z.output<C["output"]>>;
  send(
    input: z.input<C["input"]>,
    options?: SendOptions,
  ): Promise<SentCommandHandle<z.output<C["output"]>>>;
}

/** One key of an entity as a caller sees it. A command of the same name stands before what tells of the past. */
export type EntityClient<E extends Entity> = {
  readonly [K in keyof E["commands"]]: CommandCall<E["commands"][K]>;
} & Omit<EntityPast<E>, keyof E["commands"]>;

const SEND_TIMEOUT_MS = 30_000;
const MAX_SENDING = 65_536; // durable commands that wait to be stored

/** The commands of one entity, as this process sends them. */
export class EntityCaller {
  readonly #services: EntityServices;
  readonly #entity: Entity;
  readonly #routes = new Map<string, EntityRoute & { readonly timeoutMs: number }>();
  /** Sequence of the last durable command that this process sent to each partition. */
  readonly #sent = new Map<number, number>();
  /** The last durable command of each key, while it is being stored: the next one waits for it. */
  readonly #storing = new Map<string, Promise<unknown>>();
  #sending = 0;

  constructor(services: EntityServices, entity: Entity) {
    if (entity?.kind !== "entity") {
      throw new MeshError("INVALID_CONTRACT", "A key goes with a contract made by entity().");
    }
    this.#services = services;
    this.#entity = entity;
    const { runtime } = services;
    for (const [name, command] of Object.entries(entity.commands)) {
      this.#routes.set(name, {
        runtime,
        entity: entity.name,
        name,
        output: command.output,
        metrics: runtime.metrics.requests(entity.name, name, "client"),
        timeoutMs: commandTimeoutMs(command),
      });
    }
  }

  /** The client of one key. */
  of(key: string): Record<string, unknown> {
    demandKey(key);
    const client: Record<string, unknown> = { ...pastOf(this.#services, this.#entity, key) };
    for (const name of this.#routes.keys()) {
      const call = async (input: unknown, options?: CommandOptions): Promise<unknown> =>
        this.#call(name, key, encodeInput(input), this.#sent.get(this.#partition(key)), options);
      const send = (input: unknown, options?: SendOptions): Promise<SentCommandHandle<unknown>> =>
        this.#send(name, key, input, options);
      client[name] = Object.assign(call, { send });
    }
    return client;
  }

  #partition(key: string): number {
    return partitionOf(key, this.#entity.partitions);
  }

  async #call(
    name: string,
    key: string,
    input: Uint8Array | undefined,
    after = 0,
    { id = newId(), timeout, signal }: CommandOptions = {},
  ): Promise<unknown> {
    const route = this.#routes.get(name)!;
    const command = { id: demandCommandId(id), after, ...(input === undefined ? {} : { input }) };
    const timeoutMs = timeout === undefined ? route.timeoutMs : toMs(timeout);
    const call = new EntityCall(route, this.#partition(key), key, command, timeoutMs, signal);
    return call.run(signal);
  }

  async #send(
    name: string,
    key: string,
    input: unknown,
    { id = newId(), timeout = SEND_TIMEOUT_MS }: SendOptions = {},
  ): Promise<SentCommandHandle<unknown>> {
    const untilMs = nowMs() + toMs(timeout);
    const command = { id: demandCommandId(id), after: 0, input: encodeInput(input) };
    const payload = commandPayload(command);
    if (this.#sending >= MAX_SENDING) {
      throw new MeshError("OVERLOADED", `${MAX_SENDING} commands wait to be stored. Await them.`);
    }
    const storing = this.#store(name, key, id, payload, untilMs, this.#storing.get(key));
    this.#storing.set(key, storing);
    this.#sending++;
    let sequence: number;
    try {
      sequence = await storing;
    } finally {
      this.#sending--;
      if (this.#storing.get(key) === storing) this.#storing.delete(key);
    }
    return {
      id,
      result: (options = {}) => this.#call(name, key, undefined, sequence, { ...options, id }),
    };
  }

  /** Stores a command behind the one before of its key, whether that could be stored or not. */
  async #store(
    name: string,
    key: string,
    id: string,
    payload: Uint8Array,
    untilMs: number,
    before: Promise<unknown> | undefined,
  ): Promise<number> {
    await before?.catch(() => undefined);
    const { js, store, runtime } = this.#services;
    const { name: entity } = this.#entity;
    const partition = this.#partition(key);
    const envelopeId = newId();
    const bytes = Buffer.from(
      envelopeBytes({
        kind: KINDS.task_delegation,
        id: envelopeId,
        sender: runtime.client,
        recipient: key,
        name,
        sentAt: nowUs(),
        trace: currentScope()?.traceparent ?? rootTrace(envelopeId),
        payload,
      }),
    );
    // Headers hold no line breaks, and ids of users may: so the id goes through the escape of keys, too.
    const headers = { "Nats-Msg-Id": `${entity} ${escapeKey(key)} ${escapeKey(id)}` };
    const subject = runtime.subjects.command(entity, partition);
    try {
      const publish = async (): Promise<number> => {
        await store.open();
        return js.publish(subject, bytes, { headers });
      };
      const sequence = await this.#services.surely(publish, undefined, untilMs);
      this.#sent.set(partition, Math.max(sequence, this.#sent.get(partition) ?? 0));
      return sequence;
    } catch (cause) {
      if (!isMeshError(cause, "TIMEOUT")) throw cause;
      const text = `${entity}.${name}: the broker has not confirmed the command; send it again with the same id.`;
      throw new MeshError("TIMEOUT", text, { cause });
    }
  }
}
