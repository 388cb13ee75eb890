import { createHash } from "node:crypto";
import {
  DEFAULT_TENANT,
  KINDS,
  MeshError,
  PRIORITIES,
  encodePayload,
  escapeKey,
  hexToUlid,
  isMeshError,
  readFrame,
  resolveDurability,
  resolveRetry,
  toMs,
  type Agent,
  type Capability,
  type Duration,
  type Envelope,
  type PlacementSpec,
  type Priority,
  type RetryPolicy,
} from "@plexus/core";
import { nowMs, nowUs } from "./clock.ts";
import { currentScope } from "./context.ts";
import { controlFields } from "./control.ts";
import { explain } from "./exchange.ts";
import type { LinkSubscription } from "./nats/link.ts";
import type { StoredMessage } from "./nats/jetstream.ts";
import type { TaskLane } from "./nats/task-store.ts";
import { newId, noteBadMessage } from "./runtime.ts";
import { Handle, type HandleOwner, type TaskListener, type TaskStatus } from "./task-handle.ts";
import {
  HEADER_ROOM,
  RECHECK,
  RETRY,
  envelopeBytes,
  finalState,
  readEnvelope,
} from "./task-message.ts";
import type { Peer } from "./directory.ts";
import { OWN_LANE, TaskPlacement } from "./task-placement.ts";
import type { RunReport } from "./task-run.ts";
import type { TaskServices } from "./task-services.ts";

/** Options of `mesh.submit`. */
export interface SubmitOptions {
  /** Default `normal`. */
  readonly priority?: Priority;
  /** Tasks of a capability with equal keys are one task, for as long as its result is kept, whoever submits them. */
  readonly key?: string;
  /** Not before this long from now. The broker keeps it; no slot is held. */
  readonly delay?: Duration;
  /** Not before this time: a Date, or milliseconds since the epoch. */
  readonly at?: Date | number;
  /** It must have ended this long from now, queue and attempts included. */
  readonly deadline?: Duration;
  /** Replaces the contract's policy. */
  readonly retry?: RetryPolicy;
  /** On whose behalf; default `default`. */
  readonly tenant?: string;
  /**
   * Who executes it. Default `pull`: whichever instance has a free slot first. Any other chooses an instance now, by
   * what this process knows of their load (`consistentHash`: by `key`); if it vanishes, the others take its tasks.
   */
  readonly placement?: "pull" | PlacementSpec;
  /** How long to try to reach the broker. Default 30 s. */
  readonly timeout?: Duration;
}

interface Watched {
  readonly listeners: Set<TaskListener>;
  /** Monotonic ms at which the store is asked. */
  dueMs: number;
  pauseMs: number;
  misses: number;
}

interface Feed {
  readonly subscription: LinkSubscription;
  users: number;
}

const SUBMIT_TIMEOUT_MS = 30_000;
const FIRST_CHECK_MS = 2_000; // results are told by who recorded them; the store is asked in case that got lost
const MAX_CHECK_MS = 30_000;
const MAX_MISSES = 3;
const SWEEP_MS = 250;
const MAX_CHECKS_AT_ONCE = 256;
const MAX_EARLY = 8_192; // submitted tasks whose result is kept in case it comes before anyone waits for it
const MAX_EARLY_BYTES = 16 * 1024;

/** The submitting side of durable work. */
export class TaskClient {
  readonly #services: TaskServices;
  /** Asks all processes which of them works on a task. */
  readonly #find: (id: string) => Promise<RunReport | undefined>;
  readonly #placement: TaskPlacement;
  readonly #watched = new Map<string, Watched>();
  readonly #early = new Map<string, Envelope | undefined>();
  readonly #feeds = new Map<string, Feed>();
  #timer: NodeJS.Timeout | undefined;
  #checks = 0;
  #closed = false;

  constructor(services: TaskServices, find: (id: string) => Promise<RunReport | undefined>) {
    this.#services = services;
    this.#find = find;
    this.#placement = new TaskPlacement(services.runtime);
    this.#follow(services.runtime.client);
  }

  async submit(
    contract: Agent,
    name: string,
    input: unknown,
    options: SubmitOptions,
  ): Promise<Handle> {
    const capability = contract.capabilities[name];
    if (capability?.durable === undefined) {
      throw new MeshError(
        "INVALID_CONTRACT",
        `${contract.name}.${name} cannot be submitted: declare it \`durable: true\` in the contract.`,
      );
    }
    const services = this.#services;
    const { runtime, js, store } = services;
    const { subjects } = runtime;
    const untilMs = nowMs() + toMs(options.timeout ?? SUBMIT_TIMEOUT_MS);
    const parsed = capability.input.safeParse(input);
    if (!parsed.success) {
      throw new MeshError("INVALID_INPUT", `${contract.name}.${name}: ${explain(parsed.error)}`, {
        details: parsed.error.issues,
      });
    }
    const { key, priority = "normal", tenant = DEFAULT_TENANT } = options;
    if (!Object.hasOwn(PRIORITIES, priority)) {
      throw new MeshError(
        "INVALID_INPUT",
        `There is no priority ${priority as string}; use high, normal or low.`,
      );
    }
    const id = key === undefined ? newId() : keyedId(contract.name, name, key);
    const bytes = this.#taskBytes(contract.name, name, id, input, options);
    const limit = runtime.link.maxPayload - HEADER_ROOM;
    if (bytes.length > limit) {
      throw new MeshError(
        "MESSAGE_TOO_LARGE",
        `${bytes.length} bytes for ${contract.name}.${name} are more than the ${limit} that a task may have at this broker. Send a reference, or raise max_payload.`,
      );
    }
    const handle = (fresh: boolean): Handle => new Handle(this.#owner(capability), id, fresh);

    await services.surely(() => store.open(), untilMs);
    if (key !== undefined && (await services.surely(() => store.result(id), untilMs))) {
      return handle(false);
    }
    const due = dueAt(options);
    const peer = this.#place(contract, name, due, options);
    const own = peer === undefined ? escapeKey(tenant) : `${OWN_LANE}${peer.id}`;
    if (peer !== undefined || tenant !== DEFAULT_TENANT) {
      const lane = { agent: contract.name, capability: name, priority, tenant: own };
      await services.surely(() => this.#openLane(lane, capability), untilMs);
    }
    const target = subjects.task(contract.name, name, priority, own, id);
    const subject =
      due === undefined ? target : subjects.task(contract.name, name, "retry", own, id);
    const headers: Record<string, string> = {};
    if (due !== undefined) {
      headers["Nats-Schedule"] = `@at ${new Date(due).toISOString()}`;
      headers["Nats-Schedule-Target"] = target;
    }
    if (options.retry !== undefined) {
      resolveRetry(options.retry);
      headers[RETRY] = JSON.stringify(options.retry);
    }
    this.#expectEarly(id);
    if (peer) this.#placement.add(id, peer);
    let again = key !== undefined;
    try {
      await services.surely(() => {
        const repeated = again;
        again = true;
        // The first time nobody can have stored it. From then on, whoever executes it has to look for a result first.
        return repeated
          ? js.publish(subject, bytes, {
              expect: { sequence: 0, subject: subjects.task(contract.name, name, "*", "*", id) },
              headers: { ...headers, [RECHECK]: "1" },
            })
          : js.publish(
              subject,
              bytes,
              due === undefined && options.retry === undefined ? {} : { headers },
            );
      }, untilMs);
    } catch (error) {
      this.#placement.remove(id);
      if (!isMeshError(error, "CONFLICT")) throw error;
      return handle(key === undefined); // it is there already
    }
    return handle(true);
  }

  /** A task submitted by anyone, any time. */
  open(id: string): Handle {
    if (!/^[0-9A-HJKMNP-TV-Z]{26}$/.test(id)) {
      throw new MeshError("NO_TASK", `${JSON.stringify(id)} is not the id of a task.`);
    }
    return new Handle(this.#owner(undefined), id, false);
  }

  /** After a reconnection: news may have been missed. */
  restored(): void {
    const now = nowMs();
    for (const watched of this.#watched.values()) watched.dueMs = now;
  }

  close(): void {
    this.#closed = true;
    this.#placement.close();
    clearInterval(this.#timer);
    const error = closing();
    for (const { listeners } of this.#watched.values()) {
      for (const listener of listeners) listener.unknown(error);
    }
    for (const { subscription } of this.#feeds.values()) subscription.unsubscribe();
  }

  /** The instance to leave the task with; undefined: with all of them. What is due later is placed by who is free then. */
  #place(
    contract: Agent,
    name: string,
    due: number | undefined,
    { placement = "pull", tenant, key }: SubmitOptions,
  ): Peer | undefined {
    if (placement === "pull" || due !== undefined) return undefined;
    if (tenant !== undefined) {
      throw new MeshError("INVALID_INPUT", "Tenants share by pulling: give tenant or placement.");
    }
    return this.#placement.pick(contract, name, placement, key);
  }

  /** A tenant has a queue of its own, so that nobody waits behind another's tasks. */
  async #openLane(lane: TaskLane, { durable }: Capability): Promise<void> {
    const { runtime, store } = this.#services;
    if (!(await store.openLane(lane, resolveDurability(durable ?? true)))) return;
    runtime.outbox.add(runtime.subjects.taskControl("lane"), {
      ...controlFields(runtime, "lane", newId()),
      payload: encodePayload(lane.agent),
    });
  }

  #taskBytes(
    agent: string,
    name: string,
    id: string,
    input: unknown,
    { deadline }: SubmitOptions,
  ): Uint8Array {
    const scope = currentScope();
    const sentAt = nowUs();
    return envelopeBytes({
      kind: KINDS.task_delegation,
      id,
      sender: this.#services.runtime.client,
      recipient: agent,
      name,
      sentAt,
      deadline: deadline === undefined ? undefined : sentAt + toMs(deadline) * 1_000,
      parents: scope ? [scope.id] : undefined,
      trace: scope?.traceparent,
      payload: encodePayload(input),
      seq: 1,
    });
  }

  #owner(capability: Capability | undefined): HandleOwner {
    return {
      status: (id) => this.#status(id),
      cancel: (id) => this.#cancel(id),
      listen: (id, listener, options) => this.#listen(id, listener, options),
      parse: (value) => {
        const parsed = capability?.output.safeParse(value);
        if (parsed === undefined) return value;
        if (parsed.success) return parsed.data;
        throw new MeshError("INVALID_OUTPUT", `The recorded result: ${explain(parsed.error)}`, {
          details: parsed.error.issues,
        });
      },
    };
  }

  async #status(id: string): Promise<TaskStatus> {
    const { store } = this.#services;
    const [result, queued] = await Promise.all([store.result(id), store.queued(id)]);
    if (result) return endedStatus(id, result);
    if (queued === undefined) {
      const late = await store.result(id); // it may have ended between the two answers
      if (late) return endedStatus(id, late);
      throw noTask(id);
    }
    const [, , agent = "", capability = "", priority = ""] = queued.subject.split(".");
    const envelope = readEnvelope(queued.data);
    const known = {
      id,
      agent,
      capability,
      client: envelope.sender,
      submittedAt: Math.round(envelope.sentAt / 1_000),
    };
    if (priority === "retry") {
      const at = queued.header("Nats-Schedule")?.slice("@at ".length);
      const dueAtMs = at === undefined ? {} : { dueAt: Date.parse(at) };
      return { ...known, state: "submitted", attempt: envelope.seq, ...dueAtMs };
    }
    const run = await this.#find(id);
    if (run === undefined) return { ...known, state: "submitted", attempt: envelope.seq };
    const { attempt, instance, fraction, note } = run;
    return {
      ...known,
      state: "working",
      attempt,
      instance,
      ...(fraction === undefined ? {} : { progress: fraction }),
      ...(note === undefined ? {} : { note }),
    };
  }

  /** Records that it was canceled, if nothing is recorded yet; then nobody can record anything else. */
  async #cancel(id: string): Promise<boolean> {
    const { runtime, js, store } = this.#services;
    const queued = await store.queued(id);
    if (queued === undefined) {
      if (await store.result(id)) return false;
      throw noTask(id);
    }
    const [, , agent = "", capability = ""] = queued.subject.split(".");
    const { sender, seq } = readEnvelope(queued.data);
    const fields = {
      kind: KINDS.error,
      id,
      sender: runtime.client,
      recipient: sender,
      name: `${agent}.${capability}`,
      sentAt: nowUs(),
      payload: encodePayload(new MeshError("CANCELED", `Canceled by ${runtime.client}.`).toJSON()),
      seq,
    };
    const bytes = Uint8Array.from(envelopeBytes(fields));
    const { subjects } = runtime;
    try {
      await this.#services.surely(
        () => js.publish(subjects.done(id), bytes, { expect: { sequence: 0 } }),
        nowMs() + SUBMIT_TIMEOUT_MS,
      );
    } catch (error) {
      if (!isMeshError(error, "CONFLICT")) throw error;
      const recorded = await store.result(id);
      if (!recorded || !Buffer.from(recorded.data).equals(bytes)) return false;
    }
    const control = { ...fields, kind: KINDS.control, name: "cancel", payload: new Uint8Array(0) };
    runtime.outbox.add(subjects.taskControl("cancel"), control);
    runtime.outbox.add(subjects.taskEvents(sender), {
      ...fields,
      payload: readEnvelope(bytes).payload,
    });
    await store.dequeue(id);
    return true;
  }

  #listen(id: string, listener: TaskListener, { fresh }: { fresh: boolean }): () => void {
    if (this.#closed) {
      queueMicrotask(() => listener.unknown(closing()));
      return () => {};
    }
    const early = fresh && this.#early.has(id);
    const result = this.#early.get(id);
    this.#early.delete(id);
    if (result) {
      queueMicrotask(() => listener.ended(result));
      return () => {};
    }
    let watched = this.#watched.get(id);
    if (watched === undefined) {
      const dueMs = nowMs() + (early ? FIRST_CHECK_MS : 0);
      watched = { listeners: new Set(), dueMs, pauseMs: FIRST_CHECK_MS, misses: 0 };
      this.#watched.set(id, watched);
      if (!early) queueMicrotask(() => this.#sweep());
    }
    watched.listeners.add(listener);
    this.#timer ??= setInterval(() => this.#sweep(), SWEEP_MS).unref();
    const following = early ? undefined : this.#followOwner(id);
    return () => {
      watched.listeners.delete(listener);
      void this.#unfollow(following);
      if (watched.listeners.size === 0 && this.#watched.get(id) === watched)
        this.#watched.delete(id);
    };
  }

  /** Listens to the news of whoever submitted the task. */
  async #followOwner(id: string): Promise<() => void> {
    const queued = await this.#services.store.queued(id).catch(() => undefined);
    if (queued === undefined || this.#closed) return () => {};
    const sender = senderOf(queued);
    if (sender === undefined) return () => {};
    const feed = this.#follow(sender);
    return () => {
      feed.users--;
      if (feed.users > 0) return;
      feed.subscription.unsubscribe();
      this.#feeds.delete(sender);
    };
  }

  async #unfollow(following: Promise<() => void> | undefined): Promise<void> {
    const release = await following;
    release?.();
  }

  #follow(client: string): Feed {
    const { link, subjects } = this.#services.runtime;
    let feed = this.#feeds.get(client);
    if (feed === undefined) {
      const subscription = link.subscribe(subjects.taskEvents(client), (data) => {
        try {
          readFrame(data, (envelope) => this.#told(envelope));
        } catch (error) {
          noteBadMessage(this.#services.runtime, error);
        }
      });
      feed = { subscription, users: 0 };
      this.#feeds.set(client, feed);
    }
    feed.users++;
    return feed;
  }

  #told(envelope: Envelope): void {
    const { id, kind } = envelope;
    const watched = this.#watched.get(id);
    if (kind === KINDS.control) {
      for (const listener of watched?.listeners ?? []) listener.news(envelope);
      return;
    }
    if (kind !== KINDS.response && kind !== KINDS.error) return;
    this.#placement.remove(id, envelope);
    if (watched) this.#end(id, watched, envelope);
    else if (this.#early.has(id)) {
      if (envelope.payload.length <= MAX_EARLY_BYTES) this.#early.set(id, envelope);
      else this.#early.delete(id);
    }
  }

  #end(id: string, watched: Watched, result: Envelope): void {
    this.#watched.delete(id);
    for (const listener of watched.listeners) listener.ended(result);
  }

  #expectEarly(id: string): void {
    if (this.#early.size >= MAX_EARLY) {
      const [oldest] = this.#early.keys();
      if (oldest !== undefined) this.#early.delete(oldest);
    }
    this.#early.set(id, undefined);
  }

  #sweep(): void {
    const now = nowMs();
    for (const [id, watched] of this.#watched) {
      if (watched.dueMs > now || this.#checks >= MAX_CHECKS_AT_ONCE) continue;
      watched.dueMs = Infinity;
      this.#checks++;
      void this.#check(id, watched).finally(() => {
        this.#checks--;
      });
    }
    if (this.#watched.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #check(id: string, watched: Watched): Promise<void> {
    const { store } = this.#services;
    try {
      await store.open();
      const result = await store.result(id);
      if (this.#watched.get(id) !== watched) return;
      if (result) {
        this.#end(id, watched, readEnvelope(result.data));
        return;
      }
      watched.misses = (await store.queued(id)) ? 0 : watched.misses + 1;
      if (watched.misses >= MAX_MISSES) {
        this.#watched.delete(id);
        for (const listener of watched.listeners) listener.unknown(noTask(id));
        return;
      }
    } catch {
      // The broker is away or not ready; it is asked again.
    }
    watched.dueMs = nowMs() + (watched.misses > 0 ? SWEEP_MS : watched.pauseMs);
    watched.pauseMs = Math.min(watched.pauseMs * 2, MAX_CHECK_MS);
  }
}

/** The id that equal keys have in common: a hash in the shape of a ULID. */
function keyedId(agent: string, capability: string, key: string): string {
  const hash = createHash("sha256").update(`${agent}\n${capability}\n${key}`).digest("hex");
  return hexToUlid(hash.slice(0, 32));
}

/** When a task is due, in milliseconds since the epoch; undefined: now. */
function dueAt({ delay, at }: SubmitOptions): number | undefined {
  if (delay !== undefined && at !== undefined) {
    throw new MeshError("INVALID_INPUT", "Give delay or at, not both.");
  }
  const due =
    delay === undefined ? (at === undefined ? undefined : Number(at)) : Date.now() + toMs(delay);
  if (due === undefined) return undefined;
  if (!Number.isFinite(due)) throw new MeshError("INVALID_INPUT", "at is not a time.");
  return due <= Date.now() ? undefined : due;
}

function endedStatus(id: string, result: StoredMessage): TaskStatus {
  const envelope = readEnvelope(result.data);
  const [agent = "", capability = ""] = envelope.name.split(".");
  const failed = envelope.kind === KINDS.error;
  return {
    id,
    state: finalState(envelope),
    agent,
    capability,
    attempt: envelope.seq,
    instance: envelope.sender,
    client: envelope.recipient ?? "",
    endedAt: result.storedAt,
    ...(failed ? { error: envelope.value as NonNullable<TaskStatus["error"]> } : {}),
  };
}

/** Who submitted a task; undefined if that is not to be read. What is wrong with it, its host will record. */
function senderOf(queued: StoredMessage): string | undefined {
  try {
    return readEnvelope(queued.data).sender;
  } catch {
    return undefined;
  }
}

function closing(): MeshError {
  return new MeshError("CANCELED", "This connection to the mesh is closed; the task goes on.");
}

function noTask(id: string): MeshError {
  return new MeshError("NO_TASK", `There is no task ${id}: never submitted, or no longer kept.`);
}
