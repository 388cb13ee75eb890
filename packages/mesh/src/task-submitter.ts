import { createHash } from "node:crypto";
import {
  DEFAULT_TENANT,
  MeshError,
  KINDS,
  PRIORITIES,
  encodePayload,
  hexToUlid,
  isMeshError,
  resolveDurability,
  resolveRetry,
  toMs,
  type Agent,
  type Capability,
  type Duration,
  type PlacementSpec,
  type Priority,
  type RetryPolicy,
} from "@plexus/core";
import { nowMs, nowUs } from "./clock.ts";
import { currentScope } from "./context.ts";
import { controlFields } from "./control.ts";
import type { Peer } from "./directory.ts";
import { explain } from "./route.ts";
import { laneTenant, type TaskLane } from "./nats/task-lane.ts";
import { newId } from "./runtime.ts";
import { HEADER_ROOM, RECHECK, RETRY, envelopeBytes } from "./task-message.ts";
import { OWN_LANE, type TaskPlacement } from "./task-placement.ts";
import type { TaskServices } from "./task-services.ts";
import type { TaskWatch } from "./task-watch.ts";

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

const SUBMIT_TIMEOUT_MS = 30_000;

/** Checks tasks and stores them with the broker. */
export class TaskSubmitter {
  readonly #services: TaskServices;
  readonly #placement: TaskPlacement;
  readonly #watch: TaskWatch;

  constructor(services: TaskServices, placement: TaskPlacement, watch: TaskWatch) {
    this.#services = services;
    this.#placement = placement;
    this.#watch = watch;
  }

  /** Resolves once the task is stored. `fresh`: this call may have stored it, rather than found it there. */
  async submit(
    contract: Agent,
    name: string,
    input: unknown,
    options: SubmitOptions,
  ): Promise<{ id: string; capability: Capability; fresh: boolean }> {
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
    if (options.retry !== undefined) resolveRetry(options.retry);
    const id = key === undefined ? newId() : keyedId(contract.name, name, key);
    const bytes = this.#taskBytes(contract.name, name, id, input, options);
    const limit = runtime.link.maxPayload - HEADER_ROOM;
    if (bytes.length > limit) {
      throw new MeshError(
        "MESSAGE_TOO_LARGE",
        `${bytes.length} bytes for ${contract.name}.${name} are more than the ${limit} that a task may have at this broker. Send a reference, or raise max_payload.`,
      );
    }
    const submitted = (fresh: boolean) => ({ id, capability, fresh });

    await services.surely(() => store.open(), untilMs);
    if (key !== undefined && (await services.surely(() => store.result(id), untilMs))) {
      return submitted(false);
    }
    const due = dueAt(options);
    const peer = this.#place(contract, name, due, options);
    let own = DEFAULT_TENANT;
    if (peer !== undefined || tenant !== DEFAULT_TENANT) {
      const shared = { agent: contract.name, capability: name, priority };
      own = peer === undefined ? laneTenant(shared, tenant) : `${OWN_LANE}${peer.id}`;
      const lane = { ...shared, tenant: own };
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
      headers[RETRY] = JSON.stringify(options.retry);
    }
    this.#watch.expect(id);
    if (peer) this.#placement.add(id, peer, resolveDurability(capability.durable).ackWaitMs);
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
      return submitted(key === undefined); // it is there already
    }
    return submitted(true);
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
}

/** The id that equal keys have in common: a hash in the shape of a ULID. */
function keyedId(agent: string, capability: string, key: string): string {
  // Halves of surrogate pairs would all become the same character in UTF-8.
  const encoding = key.isWellFormed() ? "utf8" : "utf16le";
  const text = `${agent}\n${capability}\n${key}`;
  const hash = createHash("sha256").update(text, encoding).digest("hex");
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
