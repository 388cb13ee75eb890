import {
  DEFAULT_TENANT,
  KINDS,
  MeshError,
  backoffMs,
  isMeshError,
  resolveRetry,
  toMeshError,
  type Envelope,
  type ResolvedDurability,
  type ResolvedRetry,
  type RetryPolicy,
} from "@plexus/core";
import { nowMs, nowUs } from "./clock.ts";
import { isThenable, orCanceled, runInScope } from "./context.ts";
import { explain } from "./exchange.ts";
import type { Delivered } from "./nats/puller.ts";
import type { Served } from "./served-call.ts";
import {
  HISTORY,
  MESSAGE,
  ORIGIN,
  REASON,
  RECHECK,
  RETRY,
  envelopeBytes,
  formatHistory,
  parseHistory,
  readEnvelope,
  resultFields,
  type FailedAttempt,
  type TaskNews,
} from "./task-message.ts";
import { OWN_LANE } from "./task-placement.ts";
import { TaskScope, type Execution } from "./task-scope.ts";
import type { TaskServices } from "./task-services.ts";

/** The parts of the subject that a task lies on. */
interface Address {
  readonly capability: string;
  readonly priority: string;
  readonly tenant: string;
  readonly id: string;
}

/** What a run needs of the worker that it is one of. */
export interface RunOwner {
  readonly services: TaskServices;
  readonly agent: string;
  readonly instance: string;
  readonly runs: ReadonlyMap<string, TaskRun>;
  served(capability: string): { served: Served; durability: ResolvedDurability } | undefined;
  /** The run has let go of its task. */
  ended(run: TaskRun): void;
}

/** What a run tells about itself. */
export interface RunReport {
  readonly instance: string;
  readonly attempt: number;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly fraction: number | undefined;
  readonly note: string | undefined;
}

const ACK = Buffer.from("+ACK");
const NAK = Buffer.from("-NAK");
export const NAK_LATER = Buffer.from('-NAK {"delay":1000000000}'); // what failed at once would fail at once again
const WORKING = Buffer.from("+WPI");
const MAX_TEXT = 300;
const PROGRESS_MS = 100; // at most so often is progress told

/** One execution of a task, from its delivery until the broker is told what became of it. */
export class TaskRun implements Execution {
  readonly id: string;
  readonly instance: string;
  /** Somebody may have recorded the result already. */
  readonly #recheck: boolean;
  readonly #owner: RunOwner;
  #delivered: Delivered;
  readonly #address: Address;
  readonly #startedAt = Date.now();
  /** Monotonic ms. */
  readonly startedMs = nowMs();
  #attempt = 1;
  #client = "";
  #scope: TaskScope | undefined;
  #canceled: MeshError | undefined;
  #released = false;
  #began = false;
  #announced = false;
  #fraction: number | undefined;
  #note: string | undefined;
  #toldMs = -Infinity;

  constructor(owner: RunOwner, delivered: Delivered) {
    this.#owner = owner;
    this.#delivered = delivered;
    this.instance = owner.instance;
    const [, , , capability = "", priority = "", tenant = ""] = delivered.subject.split(".");
    const id = taskId(delivered);
    this.#address = { capability, priority, tenant, id };
    this.id = id;
    this.#recheck = delivered.deliveries > 1 || (delivered.headers?.get(RECHECK) ?? "") !== "";
  }

  get repeated(): boolean {
    return this.#recheck || this.#attempt > 1;
  }

  get attempt(): number {
    return this.#attempt;
  }

  get report(): RunReport {
    const { instance, attempt } = this;
    return {
      instance,
      attempt,
      startedAt: this.#startedAt,
      fraction: this.#fraction,
      note: this.#note,
    };
  }

  /** Executes the task; resolves when it is over, whatever happens. */
  async start(): Promise<void> {
    const { log } = this.#owner.services.runtime;
    try {
      await this.#run();
    } catch (error) {
      // What the broker did not take is delivered again, here or elsewhere.
      log.warn({ err: error, task: this.id }, "a task could not be brought to its end");
      this.#let(NAK_LATER);
    }
  }

  /** Tells that it has begun, once. Most tasks are over before; then their end says it. */
  announce(): void {
    if (this.#announced || !this.#began || this.#released) return;
    this.#announced = true;
    this.#tell("started", null);
  }

  /** Tells the broker that it is still being worked on. */
  beat(): void {
    if (!this.#released) this.#owner.services.runtime.link.publish(this.#delivered.ack, WORKING);
  }

  /** Takes the same message, delivered once more: from now on this delivery is acknowledged. False: it is another one. */
  adopt(delivered: Delivered): boolean {
    if (delivered.sequence !== this.#delivered.sequence) return false;
    this.#delivered = delivered;
    return true;
  }

  cancel(reason: MeshError): void {
    this.#canceled ??= reason;
    this.#scope?.cancel(reason);
  }

  /** Gives the task back for somebody else to execute, whatever its handler still does. */
  handBack(reason: MeshError): void {
    this.#let(NAK);
    this.cancel(reason);
  }

  progress(fraction: number, note: string | undefined): void {
    this.#fraction = fraction;
    this.#note = note;
    const now = nowMs();
    if (now - this.#toldMs < PROGRESS_MS && fraction < 1) return;
    this.#toldMs = now;
    this.announce();
    this.#tell("progress", { fraction, ...(note === undefined ? {} : { note }) });
  }

  async #run(): Promise<void> {
    const { services, agent } = this.#owner;
    const known = this.#owner.served(this.#address.capability);
    let envelope: Envelope;
    try {
      envelope = readEnvelope(this.#delivered.data);
      if (envelope.kind !== KINDS.task_delegation || envelope.id !== this.id) {
        throw new MeshError("BAD_MESSAGE", "It is not the task that its subject names.");
      }
    } catch (error) {
      await this.#giveUp(toMeshError(error));
      return;
    }
    this.#attempt = Math.max(1, envelope.seq);
    this.#client = envelope.sender;
    if (this.#recheck) {
      if (await services.surely(() => services.store.result(this.id))) {
        this.#let(ACK); // recorded already: only its acknowledgement was lost
        return;
      }
      if (this.#released) return; // given back meanwhile
    }
    if (known === undefined) {
      await this.#giveUp(
        new MeshError(
          "NO_CAPABILITY",
          `Agent ${agent} has no durable ${this.#address.capability}.`,
        ),
      );
      return;
    }
    const { served, durability } = known;
    const { deliveries } = this.#delivered;
    if (deliveries > durability.deliveries) {
      const text = `It was delivered ${deliveries} times, and each time its instance was lost or fell silent.`;
      await this.#giveUp(new MeshError("AGENT_LOST", text));
      return;
    }
    const deadlineMs = this.#deadline(envelope, Infinity);
    if (deadlineMs <= nowMs()) {
      await this.#giveUp(new MeshError("DEADLINE_EXCEEDED", "The deadline passed in the queue."));
      return;
    }
    const input = served.capability.input.safeParse(envelope.value);
    if (!input.success) {
      await this.#giveUp(new MeshError("INVALID_INPUT", explain(input.error)));
      return;
    }
    if (this.#canceled) {
      await this.#record({ error: this.#canceled });
      return;
    }
    this.#began = true;
    const outcome = await this.#execute(served, envelope, input.data);
    if (this.#released) return;
    await this.#conclude(outcome, envelope, durability.retry);
  }

  /** Runs the handler to its end, or until it is canceled or its time is over: then without waiting for it. */
  async #execute(
    served: Served,
    envelope: Envelope,
    input: unknown,
  ): Promise<{ value: unknown } | { error: MeshError }> {
    const { services } = this.#owner;
    const { timeout } = served.capability;
    const finalMs = this.#deadline(envelope, Infinity);
    const attemptMs = timeout === undefined ? Infinity : nowMs() + served.timeoutMs;
    const scope = new TaskScope(
      services,
      this,
      envelope,
      Math.min(finalMs, attemptMs),
      services.runtime.log,
    );
    this.#scope = scope;
    let timer: NodeJS.Timeout | undefined;
    if (scope.deadlineMs < Infinity) {
      const late = new MeshError("TIMEOUT", `${served.name} did not end in time.`, {
        retryable: attemptMs < finalMs,
      });
      timer = setTimeout(
        () => scope.cancel(late),
        Math.min(scope.deadlineMs - nowMs(), 2 ** 31 - 1),
      );
    }
    try {
      const result = runInScope(scope, served.handler, input, scope);
      if (!isThenable(result)) return { value: result };
      return { value: await orCanceled(scope, result) };
    } catch (thrown) {
      const canceled = scope.canceled;
      return { error: canceled && !isMeshError(thrown) ? canceled : toMeshError(thrown) };
    } finally {
      clearTimeout(timer);
    }
  }

  async #conclude(
    outcome: { value: unknown } | { error: MeshError },
    envelope: Envelope,
    policy: ResolvedRetry,
  ): Promise<void> {
    if (!("error" in outcome)) {
      await this.#record(outcome);
      return;
    }
    const { error } = outcome;
    const retry = this.#retryPolicy(policy);
    const delayMs = backoffMs(retry.backoff, this.#attempt, Math.random);
    const inTime = nowMs() + delayMs < this.#deadline(envelope, Infinity);
    if (error.retryable && this.#attempt < retry.attempts && inTime) {
      await this.#retry(error, envelope, delayMs);
    } else if (error.code === "CANCELED") await this.#record(outcome);
    else await this.#giveUp(error);
  }

  /** Has the broker deliver the next attempt when it is due; no slot is held meanwhile. */
  async #retry(error: MeshError, envelope: Envelope, delayMs: number): Promise<void> {
    const { services, agent } = this.#owner;
    const { runtime, js } = services;
    const { capability, tenant, id } = this.#address;
    const next = envelopeBytes({
      kind: KINDS.task_delegation,
      id,
      sender: envelope.sender,
      recipient: envelope.recipient,
      name: envelope.name,
      sentAt: envelope.sentAt,
      deadline: envelope.deadline,
      parents: envelope.parents,
      trace: envelope.trace,
      payload: envelope.payload,
      seq: this.#attempt + 1,
    });
    const subject = runtime.subjects.task(agent, capability, "retry", tenant, id);
    // The instance whose lane it was on may be gone by then.
    const target = tenant.startsWith(OWN_LANE)
      ? runtime.subjects.task(agent, capability, this.#address.priority, DEFAULT_TENANT, id)
      : this.#delivered.subject;
    const own = this.#delivered.headers?.get(RETRY);
    const headers = {
      "Nats-Schedule": `@at ${new Date(Date.now() + delayMs).toISOString()}`,
      "Nats-Schedule-Target": target,
      [RECHECK]: "1", // it may be canceled while this attempt is being put back
      [HISTORY]: formatHistory(this.#history(error)),
      ...(own ? { [RETRY]: own } : {}),
    };
    await services.surely(() => js.publish(subject, next, { headers }));
    runtime.metrics.taskRetries.with({ agent, capability }).value++;
    this.announce();
    const { code, message } = error; // no details: news is small, and must not fail
    const told = { code, message: oneLine(message), retryable: true };
    this.#tell("retried", { delayMs: Math.round(delayMs), error: told });
    this.#let(ACK);
  }

  /** It has failed for good: kept as a dead letter, and recorded. */
  async #giveUp(error: MeshError): Promise<void> {
    const { services, agent } = this.#owner;
    const { runtime, js } = services;
    const { capability, id } = this.#address;
    const headers = {
      [REASON]: error.code,
      [MESSAGE]: oneLine(error.message),
      [HISTORY]: formatHistory(this.#history(error)),
      [ORIGIN]: this.#delivered.subject,
    };
    const subject = runtime.subjects.dead(agent, capability, id);
    const { data } = this.#delivered;
    try {
      await services.surely(() => js.publish(subject, data, { headers, expect: { sequence: 0 } }));
    } catch (failure) {
      if (!isMeshError(failure, "CONFLICT")) throw failure; // it is there already
    }
    runtime.metrics.deadLetters.with({ agent, capability, reason: error.code }).value++;
    await this.#record({ error });
  }

  /** The first recorded result wins; whoever comes later learns that it was in vain. */
  async #record(outcome: { value: unknown } | { error: MeshError }): Promise<void> {
    const { services, agent } = this.#owner;
    const { runtime, js, store } = services;
    const { capability, id } = this.#address;
    const client = this.#client === "" ? "unknown" : this.#client;
    const task = { id, client, name: `${agent}.${capability}` };
    let fields;
    try {
      fields = resultFields(task, this.instance, outcome, this.#attempt);
    } catch (error) {
      await this.#recordLess(outcome, error as MeshError);
      return;
    }
    const bytes = envelopeBytes(fields);
    const { payload } = readEnvelope(bytes); // the encoder's own bytes do not outlast the wait
    const subject = runtime.subjects.done(id);
    const expect = { sequence: 0 };
    try {
      await services.surely(() => js.publish(subject, bytes, { expect }));
    } catch (error) {
      if (isMeshError(error, "MESSAGE_TOO_LARGE")) {
        await this.#recordLess(outcome, error);
        return;
      }
      if (!isMeshError(error, "CONFLICT")) throw error;
      const recorded = await services.surely(() => store.result(id));
      if (recorded && !Buffer.from(recorded.data).equals(bytes)) {
        runtime.metrics.taskSurplus.with({ agent, capability }).value++;
        this.#let(ACK);
        return;
      }
    }
    const state = "error" in outcome ? outcome.error.code : "ok";
    runtime.metrics.tasks.with({ agent, capability, outcome: state }).value++;
    runtime.metrics.taskDuration
      .with({ agent, capability })
      .observe((nowMs() - this.startedMs) / 1_000);
    if (runtime.link.connected) {
      runtime.outbox.add(runtime.subjects.taskEvents(client), {
        ...fields,
        payload,
        load: this.#owner.runs.size,
      });
    }
    this.#let(ACK);
  }

  /** Records what there is to say of an outcome that cannot travel. */
  async #recordLess(
    outcome: { value: unknown } | { error: MeshError },
    why: MeshError,
  ): Promise<void> {
    if (!("error" in outcome)) {
      await this.#giveUp(why);
      return;
    }
    const { code, message, retryable, details } = outcome.error;
    if (details === undefined) throw why;
    await this.#record({ error: new MeshError(code, message, { retryable }) });
  }

  /** Acknowledges or gives back, once, and frees the slot. */
  #let(answer: Uint8Array): void {
    if (this.#released) return;
    this.#released = true;
    this.#owner.services.runtime.link.publish(this.#delivered.ack, answer);
    this.#owner.ended(this);
  }

  #tell(news: TaskNews, value: unknown): void {
    const { runtime } = this.#owner.services;
    if (this.#client === "" || !runtime.link.connected) return;
    const task = { id: this.id, client: this.#client, name: news };
    runtime.outbox.add(runtime.subjects.taskEvents(this.#client), {
      ...resultFields(task, this.instance, { value }, this.#attempt),
      kind: KINDS.control,
    });
  }

  #history(error: MeshError): FailedAttempt[] {
    const earlier = parseHistory(this.#delivered.headers?.get(HISTORY));
    const own = {
      attempt: this.#attempt,
      at: Date.now(),
      instance: this.instance,
      code: error.code,
      message: oneLine(error.message),
    };
    return [...earlier, own];
  }

  #retryPolicy(policy: ResolvedRetry): ResolvedRetry {
    const own = this.#delivered.headers?.get(RETRY);
    if (!own) return policy;
    try {
      return resolveRetry(JSON.parse(own) as RetryPolicy);
    } catch {
      return policy;
    }
  }

  /** The task's deadline on this process's monotonic clock. */
  #deadline({ deadline }: Envelope, none: number): number {
    return deadline === undefined ? none : nowMs() + (deadline - nowUs()) / 1_000;
  }
}

/** The id of a task is the last part of its subject. */
export function taskId({ subject }: Delivered): string {
  return subject.slice(subject.lastIndexOf(".") + 1);
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").slice(0, MAX_TEXT);
}
