import {
  KINDS,
  MeshError,
  isMeshError,
  toMeshError,
  type Agent,
  type Capability,
  type Envelope,
  type Kind,
} from "@plexus/core";
import { nowMs } from "./clock.ts";
import { Scope, isThenable, runInScope, type Context } from "./context.ts";
import { controlFields } from "./control.ts";
import { explain } from "./route.ts";
import type { Gate, Waiting } from "./gate.ts";
import type { RequestMetrics } from "./metrics.ts";
import type { Runtime } from "./runtime.ts";
import { STREAM_HEARTBEAT_MS, StreamWriter } from "./stream-writer.ts";

/** A handler with its types erased: schemas check what goes in and comes out. */
export type AnyHandler = (input: unknown, context: Context) => unknown;

/** A capability with what serves and counts it. */
export interface Served {
  readonly name: string;
  readonly capability: Capability;
  readonly handler: AnyHandler;
  readonly metrics: RequestMetrics;
  /** How long a call may take whose caller names no deadline. */
  readonly timeoutMs: number;
}

/** What a served call needs of the instance it runs on. */
export interface CallOwner {
  readonly contract: Agent;
  readonly runtime: Runtime;
  readonly gate: Gate;
  readonly running: Map<string, ServedCall>;
  /** Sends an answer; returns the error that was sent instead when the answer could not be. */
  respond(
    call: { id: string; reply: string | undefined; name: string },
    kind: Kind,
    value: unknown,
    seq?: number,
  ): MeshError | undefined;
}

/** One request being served. */
export class ServedCall implements Waiting {
  readonly id: string;
  readonly reply: string | undefined;
  readonly name: string;
  /** Monotonic ms. */
  readonly deadlineMs: number;
  readonly arrivedMs = nowMs();
  readonly #host: CallOwner;
  readonly #served: Served;
  readonly #envelope: Envelope;
  #scope: Scope | undefined;
  #writer: StreamWriter | undefined;
  #state: "waiting" | "running" | "done" = "waiting";
  #refusal: MeshError | undefined;
  #waitingBeat: NodeJS.Timeout | undefined;

  constructor(host: CallOwner, served: Served, envelope: Envelope, reply: string | undefined) {
    this.#host = host;
    this.#served = served;
    this.#envelope = envelope;
    this.id = envelope.id;
    this.reply = reply;
    this.name = served.name;
    const { deadline } = envelope;
    this.deadlineMs =
      this.arrivedMs +
      (deadline === undefined ? served.timeoutMs : (deadline - envelope.sentAt) / 1_000);
  }

  /** Subject of the caller's inbox for a liveness probe, if the caller is a mesh client. */
  get callerInbox(): string | undefined {
    const prefix = this.#host.runtime.subjects.inbox(this.#envelope.sender);
    return this.reply?.startsWith(`${prefix}.`) ? `${prefix}.probe` : undefined;
  }

  /** True until there is a slot for it. */
  get waiting(): boolean {
    return this.#state === "waiting";
  }

  /** Keeps it reachable for its caller while it waits for a slot. */
  wait(): void {
    this.#track();
    if (!this.#served.capability.stream || this.#envelope.seq === 0) return;
    this.#waitingBeat = setInterval(() => this.#heartbeat(), STREAM_HEARTBEAT_MS);
  }

  start(): void {
    clearInterval(this.#waitingBeat);
    if (this.#state === "done") {
      this.#host.gate.release(); // answered while it waited
      return;
    }
    this.#state = "running";
    try {
      if (this.#refusal) throw this.#refusal;
      this.#run();
    } catch (error) {
      this.#fail(error);
    }
  }

  cancel(reason: MeshError): void {
    this.#refusal ??= reason;
    this.#scope?.cancel(reason);
    this.#writer?.stop(reason);
  }

  /** Answers with `reason` now, whatever the handler still does. */
  abandon(reason: MeshError): void {
    if (this.waiting) {
      clearInterval(this.#waitingBeat);
      this.#answerError(reason);
      return;
    }
    this.cancel(reason);
    this.#fail(reason);
  }

  grant(credit: number): void {
    this.#writer?.grant(credit);
  }

  #run(): void {
    const { capability, handler } = this.#served;
    const { runtime } = this.#host;
    if (this.deadlineMs <= nowMs()) {
      throw new MeshError("DEADLINE_EXCEEDED", `${this.name}: the deadline passed in the queue.`);
    }
    const parsed = capability.input.safeParse(this.#envelope.value);
    if (!parsed.success) {
      throw new MeshError(
        "INVALID_INPUT",
        `${this.#host.contract.name}.${this.name}: ${explain(parsed.error)}`,
        { details: parsed.error.issues },
      );
    }
    const scope = new Scope(this.#envelope, this.deadlineMs, runtime.log);
    this.#scope = scope;
    if (capability.stream) {
      this.#stream(scope, handler, parsed.data);
      return;
    }
    const result = runInScope(scope, handler, parsed.data, scope);
    if (!isThenable(result)) {
      this.#succeed(result);
      return;
    }
    this.#track();
    result.then(
      (value) => this.#succeed(value),
      (error: unknown) => this.#fail(error),
    );
  }

  #stream(scope: Scope, handler: AnyHandler, input: unknown): void {
    const host = this.#host;
    const schema = this.#served.capability.stream!;
    const unary = this.#envelope.seq === 0;
    const writer = new StreamWriter(
      {
        chunk: (value, seq) => {
          if (unary) return;
          const parsed = schema.safeParse(value);
          if (!parsed.success) {
            throw new MeshError(
              "INVALID_OUTPUT",
              `${this.name}: chunk ${seq}: ${explain(parsed.error)}`,
            );
          }
          const failure = host.respond(this, KINDS.chunk, value, seq);
          if (failure) throw failure;
        },
        heartbeat: () => this.#heartbeat(),
      },
      unary ? Infinity : this.#envelope.seq,
    );
    this.#writer = writer;
    this.#track();
    const generator = runInScope(scope, handler, input, scope) as AsyncIterator<unknown, unknown>;
    // The generator's body runs when it is pulled, so the pulling has to happen inside the scope as well.
    runInScope(scope, () => writer.pump(generator)).then(
      (value) => this.#succeed(value, writer.count),
      (error: unknown) => this.#fail(error),
    );
  }

  #heartbeat(): void {
    if (this.reply === undefined) return;
    const { runtime } = this.#host;
    runtime.outbox.add(this.reply, controlFields(runtime, "heartbeat", this.id));
  }

  #track(): void {
    this.#host.running.set(this.id, this);
  }

  #succeed(value: unknown, seq = 0): void {
    if (!this.#end()) return;
    const { metrics } = this.#served;
    const chunks = this.#envelope.seq === 0 ? 0 : seq;
    const failure = this.#host.respond(this, KINDS.response, value, chunks);
    if (failure) metrics.failed(failure.code).value++;
    else metrics.ok.value++;
    metrics.duration.observe((nowMs() - this.arrivedMs) / 1_000);
    this.#host.gate.release();
  }

  #fail(thrown: unknown): void {
    const canceled = this.#scope?.canceled;
    const error = canceled && !isMeshError(thrown) ? canceled : toMeshError(thrown);
    if (this.#answerError(error)) this.#host.gate.release();
  }

  #answerError(error: MeshError): boolean {
    if (!this.#end()) return false;
    const host = this.#host;
    const { metrics } = this.#served;
    metrics.failed(error.code).value++;
    metrics.duration.observe((nowMs() - this.arrivedMs) / 1_000);
    if (error.code === "AGENT_FAILED") {
      host.runtime.log.warn(
        { err: error.cause ?? error, capability: this.name, id: this.id },
        "handler failed",
      );
    }
    host.respond(this, KINDS.error, error.toJSON());
    return true;
  }

  #end(): boolean {
    if (this.#state === "done") return false;
    this.#state = "done";
    const { running } = this.#host;
    if (running.get(this.id) === this) running.delete(this.id); // strangers may use an id twice
    return true;
  }
}
