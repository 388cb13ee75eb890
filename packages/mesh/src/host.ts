import { setTimeout as sleep } from "node:timers/promises";
import {
  KINDS,
  MeshError,
  RPC_QUEUE,
  describeAgent,
  readFrame,
  toMeshError,
  toTimerMs,
  type Agent,
  type Capability,
  type Duration,
  type Envelope,
  type Kind,
} from "@plexus/core";
import type { z } from "zod";
import { sendAnswer } from "./answer.ts";
import { nowUs } from "./clock.ts";
import type { Context, TaskContext } from "./context.ts";
import type { InstanceInfo } from "./directory.ts";
import { routeTimeoutMs } from "./route.ts";
import { Gate } from "./gate.ts";
import type { Cell, HistogramCell } from "./histogram.ts";
import { requestReport, type InstanceReport } from "./instance-report.ts";
import type { LinkSubscription } from "./nats/link.ts";
import { noteBadMessage, type Runtime } from "./runtime.ts";
import { ServedCall, type AnyHandler, type CallOwner, type Served } from "./served-call.ts";

/** The handler of one capability: a function, or an async generator for a streaming one. */
export type Handler<C extends Capability> = C extends { readonly stream: infer S extends z.ZodType }
  ? (
      input: z.output<C["input"]>,
      context: Context,
    ) => AsyncGenerator<z.input<S>, z.input<C["output"]> | void, unknown>
  : (
      input: z.output<C["input"]>,
      context: C extends { readonly durable: object | true } ? TaskContext : Context,
    ) => z.input<C["output"]> | Promise<z.input<C["output"]>>;

/** One handler per capability of the contract. */
export type Handlers<A extends Agent> = {
  readonly [K in keyof A["capabilities"]]: Handler<A["capabilities"][K]>;
};

/** How an instance takes work. */
export interface HostOptions {
  /** Requests handled at a time. Default 128. */
  readonly concurrency?: number;
  /** Requests that may wait for a slot; one more is answered `OVERLOADED`. Default: 4 × concurrency. */
  readonly queue?: number;
  /** Tasks worked on at a time, beside the requests. Default: as `concurrency`. */
  readonly taskConcurrency?: number;
  /** Share of the work relative to other instances. Default 1. */
  readonly weight?: number;
  /** How long a drain waits for running handlers before it cancels them. Default 30 s. */
  readonly drainTimeout?: Duration;
}

const CLUSTER_LINGER_MS = 300; // for the news of a leave to reach every caller

/** One running agent instance. */
export class HostedAgent implements AsyncDisposable, CallOwner {
  readonly contract: Agent;
  readonly info: InstanceInfo;
  readonly gate: Gate;
  readonly served = new Map<string, Served>();
  readonly running = new Map<string, ServedCall>();
  readonly runtime: Runtime;
  readonly latency: HistogramCell;
  /** Executes the agent's tasks, if it takes any. */
  tasks: { readonly load: { running: number; slots: number }; drain(): Promise<void> } | undefined;
  readonly drainTimeoutMs: number;
  readonly #leave: () => Promise<void>;
  readonly #bySubject = new Map<string, Served>();
  readonly #unknown: Cell;
  #subscriptions: LinkSubscription[] = [];
  #control: LinkSubscription | undefined;
  #draining: Promise<void> | undefined;

  constructor(
    runtime: Runtime,
    contract: Agent,
    handlers: Record<string, AnyHandler>,
    options: HostOptions,
    info: InstanceInfo,
    leave: () => Promise<void>,
  ) {
    this.runtime = runtime;
    this.contract = contract;
    this.info = info;
    this.#leave = leave;
    this.drainTimeoutMs = toTimerMs(options.drainTimeout ?? "30s");
    this.gate = new Gate(info.concurrency, options.queue ?? info.concurrency * 4);
    this.latency = runtime.metrics.requestLatency;
    this.#unknown = runtime.metrics.badMessages.with({ code: "NO_CAPABILITY" });
    for (const [name, capability] of Object.entries(contract.capabilities)) {
      const handler = handlers[name];
      if (typeof handler !== "function") {
        throw new MeshError("INVALID_CONTRACT", `Agent ${contract.name}: no handler for ${name}.`);
      }
      const metrics = runtime.metrics.requests(contract.name, name, "server");
      const timeoutMs = routeTimeoutMs(capability);
      this.served.set(name, { name, capability, handler, metrics, timeoutMs });
    }
  }

  /** True once {@link drain} was called. */
  get draining(): boolean {
    return this.#draining !== undefined;
  }

  /** Begins to listen. */
  listen(): void {
    const { link, subjects } = this.runtime;
    const { name } = this.contract;
    const receive = (data: Uint8Array, subject: string, reply: string | undefined): void =>
      this.#receive(data, subject, reply);
    this.#subscriptions = [
      link.subscribe(subjects.rpcInstance(name, "*", this.info.instance), receive, { paced: true }),
      link.subscribe(subjects.rpc(name, "*"), receive, { queue: RPC_QUEUE, paced: true }),
    ];
    const control = (data: Uint8Array, subject: string, reply: string | undefined): void => {
      if (data.length === 0) return; // a caller's liveness probe: that it arrived is the answer
      this.#guard(data, subject, reply, (envelope) => this.#command(envelope, reply));
    };
    // As paced as requests, or a cancel would overtake the request that it is for.
    this.#control = link.subscribe(subjects.control(this.info.instance), control, { paced: true });
  }

  /**
   * Leaves without losing a call: out of the registry, no new requests, every request that had arrived is finished,
   * every answer handed to the broker. Handlers still running after the drain timeout are canceled.
   */
  drain(): Promise<void> {
    return (this.#draining ??= this.#drain());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drain();
  }

  report(): InstanceReport {
    return {
      ...this.info,
      description: describeAgent(this.contract),
      running: this.gate.running,
      queued: this.gate.queued,
      tasks: this.tasks?.load,
      shards: undefined,
      draining: this.draining,
      requests: requestReport(this.served.values()),
    };
  }

  /** Sends an answer to a request. Falls back to an error that says why when the answer itself cannot be sent. */
  respond(
    { id, reply, name }: { id: string; reply: string | undefined; name: string },
    kind: Kind,
    value: unknown,
    seq = 0,
  ): MeshError | undefined {
    const { runtime, info, gate } = this;
    const load = gate.running + gate.queued;
    return sendAnswer(runtime, info.instance, load, { id, reply, name, kind, value, seq });
  }

  async #drain(): Promise<void> {
    const { log } = this.runtime;
    await this.#leave();
    const tasksDrained = this.tasks?.drain();
    // A request that its broker sends to ours after we have unsubscribed, before it has heard of that, is lost without
    // a word. So nobody may be sending any more.
    if (this.runtime.link.clustered) await sleep(CLUSTER_LINGER_MS);
    await Promise.all(this.#subscriptions.map((subscription) => subscription.drain()));
    const { promise: expired, resolve: expire } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      log.warn(
        { instance: this.info.instance, running: this.running.size },
        "drain timeout: canceling",
      );
      const calls = [...this.running.values()];
      const refusal = new MeshError("OVERLOADED", "The instance shuts down; it has not run.");
      for (const call of calls) if (call.waiting) call.abandon(refusal);
      const reason = new MeshError("CANCELED", "The instance is shutting down.");
      for (const call of calls) call.abandon(reason);
      expire();
    }, this.drainTimeoutMs);
    await Promise.race([this.gate.idle(), expired]);
    await tasksDrained;
    clearTimeout(timer);
    this.runtime.outbox.flushTurn();
    await this.runtime.link.settle();
    this.#control?.unsubscribe();
  }

  #receive(data: Uint8Array, subject: string, reply: string | undefined): void {
    this.#guard(data, subject, reply, (envelope) => this.#request(envelope, subject, reply));
  }

  #guard(
    data: Uint8Array,
    subject: string,
    reply: string | undefined,
    visit: (envelope: Envelope) => void,
  ): void {
    try {
      readFrame(data, visit);
    } catch (error) {
      noteBadMessage(this.runtime, error, subject);
      this.respond({ id: "", reply, name: "" }, KINDS.error, toMeshError(error).toJSON());
    }
  }

  #request(envelope: Envelope, subject: string, reply: string | undefined): void {
    const served = this.#bySubject.get(subject) ?? this.#lookUp(subject);
    if (envelope.kind !== KINDS.request) {
      noteBadMessage(this.runtime, new MeshError("BAD_MESSAGE", "Not a request."), subject);
      this.#refuse(
        envelope,
        reply,
        new MeshError("BAD_MESSAGE", "Only requests belong on this subject."),
      );
      return;
    }
    if (served === undefined) {
      this.#unknown.value++;
      const text = `Agent ${this.contract.name} offers ${[...this.served.keys()].join(", ")} only.`;
      this.#refuse(envelope, reply, new MeshError("NO_CAPABILITY", text));
      return;
    }
    this.latency.observe(Math.max(0, nowUs() - envelope.sentAt) / 1e6);
    const call = new ServedCall(this, served, envelope, reply);
    if (this.gate.admit(call)) {
      if (call.waiting) call.wait();
      return;
    }
    served.metrics.failed("OVERLOADED").value++;
    const { concurrency, queueLimit } = this.gate;
    this.#refuse(
      envelope,
      reply,
      new MeshError(
        "OVERLOADED",
        `Instance ${this.info.instance} has ${concurrency} requests running and ${queueLimit} waiting.`,
      ),
    );
  }

  #refuse(envelope: Envelope, reply: string | undefined, error: MeshError): void {
    this.respond({ id: envelope.id, reply, name: envelope.name }, KINDS.error, error.toJSON());
  }

  #lookUp(subject: string): Served | undefined {
    const prefix = this.runtime.subjects.rpc(this.contract.name, "");
    const served = this.served.get(subject.slice(prefix.length).split(".", 1)[0] ?? "");
    if (served) this.#bySubject.set(subject, served);
    return served;
  }

  /** Those of some requests that are not here. What was answered is not either, but the answer is on its way before this one. */
  #missing(ids: unknown): unknown[] {
    if (!Array.isArray(ids)) throw new MeshError("BAD_MESSAGE", "No list of requests.");
    return ids.filter((id: string) => !this.running.has(id));
  }

  #command(envelope: Envelope, reply: string | undefined): void {
    if (envelope.kind !== KINDS.control) {
      noteBadMessage(this.runtime, new MeshError("BAD_MESSAGE", "Not a control message."));
      return;
    }
    const answer = { id: envelope.id, reply, name: envelope.name };
    switch (envelope.name) {
      case "cancel":
        this.running
          .get(envelope.id)
          ?.cancel(new MeshError("CANCELED", "The caller gave up or its time ran out."));
        return;
      case "credit":
        this.running.get(envelope.id)?.grant(envelope.seq);
        return;
      case "describe":
        this.respond(answer, KINDS.response, this.report());
        return;
      case "missing":
        this.respond(answer, KINDS.response, this.#missing(envelope.value));
        return;
      case "ping":
        this.respond(answer, KINDS.response, null);
        return;
      case "drain":
        this.respond(answer, KINDS.response, null);
        void this.drain().catch((error: unknown) =>
          this.runtime.log.error({ err: error }, "drain failed"),
        );
        return;
      default:
        noteBadMessage(
          this.runtime,
          new MeshError("BAD_MESSAGE", `No control verb ${envelope.name}.`),
        );
    }
  }
}

/** Makes the registry record of a new instance. Throws `INVALID_CONTRACT` for options out of range. */
export function instanceInfo(
  runtime: Runtime,
  contract: Pick<Agent, "name" | "version"> & { readonly capabilities: object },
  options: Pick<HostOptions, "concurrency" | "weight">,
  place: { instance: string; host: string; http: string | undefined },
): InstanceInfo {
  const { concurrency = 128, weight = 1 } = options;
  if (!Number.isInteger(concurrency) || concurrency < 1) {
    throw new MeshError(
      "INVALID_CONTRACT",
      `concurrency must be a whole number of 1 or more, not ${concurrency}.`,
    );
  }
  if (!(weight > 0 && weight <= 100)) {
    throw new MeshError(
      "INVALID_CONTRACT",
      `weight must be above 0 and at most 100, not ${weight}.`,
    );
  }
  return {
    agent: contract.name,
    instance: place.instance,
    name: runtime.name,
    version: contract.version,
    capabilities: Object.keys(contract.capabilities),
    weight,
    concurrency,
    host: place.host,
    pid: process.pid,
    startedAt: Date.now(),
    ...(place.http === undefined ? {} : { http: place.http }),
  };
}
