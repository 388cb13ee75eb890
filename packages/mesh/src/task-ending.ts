import {
  DEFAULT_TENANT,
  KINDS,
  MeshError,
  backoffMs,
  isMeshError,
  resolveRetry,
  type Envelope,
  type ResolvedRetry,
  type RetryPolicy,
} from "@plexus/core";
import { nowMs, nowUs } from "./clock.ts";
import type { Delivered } from "./nats/feed.ts";
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
  resultFields,
  type FailedAttempt,
  type TaskNews,
} from "./task-message.ts";
import { OWN_LANE } from "./task-placement.ts";
import type { RunOwner } from "./task-run.ts";

/** The parts of the subject that a task lies on. */
export interface Address {
  readonly capability: string;
  readonly priority: string;
  readonly tenant: string;
  readonly id: string;
}

/** What an execution has come to. */
export type Outcome = { readonly value: unknown } | { readonly error: MeshError };

/** The execution that ends. */
export interface EndingRun {
  readonly owner: RunOwner;
  readonly instance: string;
  readonly address: Address;
  readonly delivered: Delivered;
  readonly attempt: number;
  /** Who submitted the task; empty if that is not known. */
  readonly client: string;
  /** Monotonic ms. */
  readonly startedMs: number;
  announce(): void;
  tell(news: TaskNews, value: unknown): void;
  /** Acknowledges the delivery, once, and frees the slot. */
  done(): void;
}

const MAX_TEXT = 300;

/** How executions come to their end: with a recorded result, a next attempt, or a dead letter. */
export class TaskEnding {
  readonly #run: EndingRun;

  constructor(run: EndingRun) {
    this.#run = run;
  }

  /** What the handler has come to: recorded, put back for another attempt, or given up. */
  async conclude(outcome: Outcome, envelope: Envelope, policy: ResolvedRetry): Promise<void> {
    if (!("error" in outcome)) {
      await this.record(outcome);
      return;
    }
    const { error } = outcome;
    const retry = this.#retryPolicy(policy);
    const delayMs = backoffMs(retry.backoff, this.#run.attempt, Math.random);
    const inTime = nowMs() + delayMs < deadlineOf(envelope);
    if (error.retryable && this.#run.attempt < retry.attempts && inTime) {
      await this.#retry(error, envelope, delayMs);
    } else if (error.code === "CANCELED") await this.record(outcome);
    else await this.giveUp(error);
  }

  /** Has the broker deliver the next attempt when it is due; no slot is held meanwhile. */
  async #retry(error: MeshError, envelope: Envelope, delayMs: number): Promise<void> {
    const { services, agent } = this.#run.owner;
    const { runtime, js } = services;
    const { capability, tenant, id } = this.#run.address;
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
      seq: this.#run.attempt + 1,
    });
    const subject = runtime.subjects.task(agent, capability, "retry", tenant, id);
    // The instance whose lane it was on may be gone by then.
    const target = tenant.startsWith(OWN_LANE)
      ? runtime.subjects.task(agent, capability, this.#run.address.priority, DEFAULT_TENANT, id)
      : this.#run.delivered.subject;
    const headers = {
      "Nats-Schedule": `@at ${new Date(Date.now() + delayMs).toISOString()}`,
      "Nats-Schedule-Target": target,
      [RECHECK]: "1", // it may be canceled while this attempt is being put back
      [HISTORY]: formatHistory(this.#history(error)),
      ...this.#ownPolicy(),
    };
    await services.surely(() => js.publish(subject, next, { headers }));
    runtime.metrics.taskRetries.with({ agent, capability }).value++;
    this.#run.announce();
    const { code, message } = error; // no details: news is small, and must not fail
    const told = { code, message: oneLine(message), retryable: true };
    this.#run.tell("retried", { delayMs: Math.round(delayMs), error: told });
    this.#run.done();
  }

  /** It has failed for good: kept as a dead letter, and recorded. */
  async giveUp(error: MeshError): Promise<void> {
    const { services, agent } = this.#run.owner;
    const { runtime, js } = services;
    const { capability, id } = this.#run.address;
    const headers = {
      [REASON]: error.code,
      [MESSAGE]: oneLine(error.message),
      [HISTORY]: formatHistory(this.#history(error)),
      [ORIGIN]: this.#run.delivered.subject,
      ...this.#ownPolicy(),
    };
    const subject = runtime.subjects.dead(agent, capability, id);
    const { data } = this.#run.delivered;
    try {
      await services.surely(() => js.publish(subject, data, { headers, expect: { sequence: 0 } }));
    } catch (failure) {
      if (!isMeshError(failure, "CONFLICT")) throw failure; // it is there already
    }
    runtime.metrics.deadLetters.with({ agent, capability, reason: error.code }).value++;
    await this.record({ error });
  }

  /** The first recorded result wins; whoever comes later learns that it was in vain. */
  async record(outcome: Outcome): Promise<void> {
    const { services, agent } = this.#run.owner;
    const { runtime, js } = services;
    const { capability, id } = this.#run.address;
    const { owner } = this.#run;
    const client = this.#run.client === "" ? "unknown" : this.#run.client;
    const task = { id, client, name: `${agent}.${capability}` };
    let fields;
    let bytes;
    try {
      const { instance, attempt } = this.#run;
      fields = resultFields(task, instance, outcome, attempt, owner.runs.size);
      bytes = envelopeBytes(fields);
    } catch (error) {
      await this.#recordLess(outcome, error as MeshError);
      return;
    }
    const { subjects } = runtime;
    const witness = subjects.recorded(client, runtime.client, id, String(fields.sentAt));
    let attempts = 0;
    try {
      const stored = services.surely(() => {
        attempts++;
        return js.publish(subjects.done(id), bytes, { witness });
      });
      const { connected, maxPayload } = runtime.link;
      if (connected && bytes.length <= maxPayload) {
        runtime.outbox.addEncoded(subjects.taskResults(client), bytes);
      } else attempts = 2;
      await stored;
    } catch (error) {
      if (isMeshError(error, "MESSAGE_TOO_LARGE")) {
        await this.#recordLess(outcome, error);
        return;
      }
      if (!isMeshError(error, "CONFLICT")) throw error;
      // A leader that has lost its followers also refuses what it was sent before and will never store.
      const recorded = await services.surely(() =>
        services.store.certainly(services.store.results, subjects.done(id)),
      );
      if (recorded === undefined) {
        await this.record(outcome);
        return;
      }
      if (!Buffer.from(recorded.data).equals(bytes)) {
        runtime.metrics.taskSurplus.with({ agent, capability }).value++;
        this.#run.done();
        return;
      }
    }
    const metrics = owner.metrics(capability);
    const ended = "error" in outcome ? metrics.failed(outcome.error.code) : metrics.ok;
    ended.value++;
    metrics.duration.observe((nowMs() - this.#run.startedMs) / 1_000);
    // What the broker confirmed is known to the client, too, unless one of the two messages may have been lost.
    if (attempts > 1 && runtime.link.connected) {
      runtime.outbox.addEncoded(subjects.taskEvents(client), bytes);
    }
    this.#run.done();
  }

  /** Records what there is to say of an outcome that cannot travel. */
  async #recordLess(outcome: Outcome, why: MeshError): Promise<void> {
    if (!("error" in outcome)) {
      await this.giveUp(why);
      return;
    }
    const { code, message, retryable, details } = outcome.error;
    if (details === undefined) throw why;
    await this.record({ error: new MeshError(code, message, { retryable }) });
  }

  #history(error: MeshError): FailedAttempt[] {
    const earlier = parseHistory(this.#run.delivered.headers?.get(HISTORY));
    const own = {
      attempt: this.#run.attempt,
      at: Date.now(),
      instance: this.#run.instance,
      code: error.code,
      message: oneLine(error.message),
    };
    return [...earlier, own];
  }

  /** The policy that was given with the submission goes wherever the task goes. */
  #ownPolicy(): Record<string, string> {
    const own = this.#run.delivered.headers?.get(RETRY);
    return own ? { [RETRY]: own } : {};
  }

  #retryPolicy(policy: ResolvedRetry): ResolvedRetry {
    const own = this.#run.delivered.headers?.get(RETRY);
    if (!own) return policy;
    try {
      return resolveRetry(JSON.parse(own) as RetryPolicy);
    } catch {
      return policy;
    }
  }
}

/** A task's deadline on this process's monotonic clock; Infinity: it has none. */
export function deadlineOf({ deadline }: Envelope): number {
  return deadline === undefined ? Infinity : nowMs() + (deadline - nowUs()) / 1_000;
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").slice(0, MAX_TEXT);
}
