import {
  KINDS,
  MeshError,
  encodePayload,
  fromWireError,
  mayTryElsewhere,
  toMs,
  ulidToHex,
  type AttemptOutcome,
  type Envelope,
} from "@plexus/core";
import { nowMs, nowUs } from "./clock.ts";
import { currentScope, type Scope } from "./context.ts";
import { sendControl } from "./control.ts";
import type { Peer } from "./directory.ts";
import type { Pending } from "./inbox.ts";
import { badAnswer, checkOutput, type CallOptions, type Route } from "./route.ts";
import { newId } from "./runtime.ts";

const LOST_REASONS = {
  instance: "agent_lost",
  request: "request_lost",
  connection: "reconnect",
} as const;

/**
 * One request and what answers it: chooses an instance, sends, waits, and tries elsewhere what surely did not run (or
 * may safely run again). Ends exactly once, in `succeed` or `fail`.
 */
export abstract class Exchange implements Pending {
  id = "";
  readonly traceable = true;
  frame: string | undefined;
  deadlineMs = Infinity;
  protected readonly route: Route;
  protected peer: Peer | undefined;
  protected settled = false;
  readonly #payload: Uint8Array;
  readonly #key: string | undefined;
  readonly #startedMs = nowMs();
  readonly #finalDeadlineMs: number;
  readonly #attemptMs: number;
  readonly #scope: Scope | undefined;
  /** The scope whose deadline and cancellation apply; undefined for a detached call. */
  readonly #bound: Scope | undefined;
  #tried: Set<Peer> | undefined;
  #lastError: MeshError | undefined;
  #sentMs = 0;
  /** No instance is left to send to, but one may come back. */
  #awaiting = false;
  #firstId: string | undefined;
  #cleanup: (() => void)[] | undefined;

  constructor(route: Route, input: unknown, options: CallOptions) {
    this.route = route;
    this.#payload = Buffer.from(encodePayload(input)); // a pooled copy: a retry sends what was passed, not what it became
    this.#key = options.key;
    const scope = currentScope();
    this.#scope = scope;
    const timeoutMs = options.timeout === undefined ? route.timeoutMs : toMs(options.timeout);
    const bound = options.detached === true ? undefined : scope;
    this.#bound = bound;
    this.#finalDeadlineMs = Math.min(
      this.#startedMs + timeoutMs,
      bound ? bound.deadlineMs : Infinity,
    );
    this.#attemptMs =
      options.attemptTimeout !== undefined && route.capability.idempotent === true
        ? toMs(options.attemptTimeout)
        : Infinity;
    const { signal } = options;
    if (signal) {
      const abort = (): void => this.cancel(signal.reason);
      signal.addEventListener("abort", abort, { once: true });
      this.onSettled(() => signal.removeEventListener("abort", abort));
    }
    if (bound) this.onSettled(bound.onCancel((reason) => this.cancel(reason)));
  }

  /** Credit for a stream's first chunks; 0 asks for a plain answer. */
  protected abstract readonly credit: number;
  protected abstract succeed(value: unknown): void;
  protected abstract fail(error: MeshError): void;

  /** A chunk or heartbeat of a stream. */
  protected abstract part(envelope: Envelope): void;

  get target(): string | undefined {
    return this.peer?.id;
  }

  /** Sends the request. Call once. */
  start(signal?: AbortSignal): void {
    if (signal?.aborted) this.cancel(signal.reason);
    else if (this.#bound?.canceled) this.cancel(this.#bound.canceled);
    else if (this.#finalDeadlineMs <= this.#startedMs) this.timeout();
    else this.#attempt();
  }

  answer(envelope: Envelope): void {
    const { peer } = this;
    if (peer === undefined) return;
    if (envelope.kind !== KINDS.response && envelope.kind !== KINDS.error) {
      this.part(envelope);
      return;
    }
    const now = nowMs();
    this.#leave();
    peer.observe(now - this.#sentMs, envelope.load, now);
    this.route.runtime.metrics.responseLatency.observe(
      Math.max(0, nowUs() - envelope.sentAt) / 1e6,
    );
    try {
      if (envelope.kind === KINDS.error) {
        const error = fromWireError(envelope.value);
        if (error.code === "OVERLOADED") this.#elsewhere("rejected", error, "overloaded");
        else this.#finish(error);
        return;
      }
      this.#complete(envelope);
    } catch (error) {
      this.#finish(error instanceof MeshError ? error : badAnswer(this.route, error));
    }
  }

  notDelivered(): void {
    const { peer } = this;
    const { connected } = this.route.runtime.link;
    this.#leave(connected);
    if (connected && peer) {
      // The broker knows nobody there. If the instance is alive after all, it answers, or its next renewal brings it back.
      this.route.runtime.absentees.miss(peer.id);
      this.#elsewhere("not_delivered", undefined, "no_responders");
    } else this.#attempt();
  }

  lost(why: "instance" | "request" | "connection" | "closing"): void {
    if (why === "closing") {
      this.cancel(new Error("this connection to the mesh is closing"));
      return;
    }
    const name = `${this.route.agent}.${this.route.name}`;
    const error =
      why === "connection"
        ? new MeshError(
            "NOT_CONNECTED",
            `${name}: the connection to the broker broke before the answer came; it may have run.`,
            { retryable: false },
          )
        : new MeshError(
            "AGENT_LOST",
            why === "instance"
              ? `${name}: instance ${this.target} vanished before it answered.`
              : `${name}: the request to ${this.target}, or its answer, was lost on the way.`,
          );
    this.#leave(why === "instance"); // else it may be sent there again
    this.#elsewhere("unknown", error, LOST_REASONS[why]);
  }

  timeout(): void {
    const now = nowMs();
    const { peer } = this;
    if (peer && now < this.#finalDeadlineMs) {
      if (this.begun) {
        this.deadlineMs = this.#finalDeadlineMs; // it answers: the attempt has succeeded
        this.route.runtime.inbox.add(this);
        return;
      }
      this.sendCancel();
      this.#leave();
      peer.observe(now - this.#sentMs, peer.outstanding, now);
      this.#elsewhere("unknown", this.#timeoutError(), "attempt_timeout");
      return;
    }
    if (peer) this.sendCancel();
    this.#leave();
    const { connected } = this.route.runtime.link;
    this.#finish(this.#awaiting && connected ? this.#nobody() : this.#timeoutError());
  }

  /** The caller gives up. */
  cancel(reason?: unknown): void {
    if (this.settled) return;
    if (this.peer) this.sendCancel();
    this.#leave();
    const text = reason instanceof Error ? reason.message : "the caller gave up";
    this.#finish(
      new MeshError("CANCELED", `${this.route.agent}.${this.route.name} was canceled: ${text}.`, {
        cause: reason,
      }),
    );
  }

  /** Ends with an error found on this side. */
  protected abandon(error: MeshError): void {
    if (this.settled) return;
    if (this.peer) this.sendCancel();
    this.#leave();
    this.#finish(error);
  }

  protected onSettled(cleanup: () => void): void {
    (this.#cleanup ??= []).push(cleanup);
  }

  /** True once the instance has begun to answer, so that the request cannot be moved any more. */
  protected get begun(): boolean {
    return false;
  }

  /** Checks the final answer; may be refined by streams. */
  protected complete(envelope: Envelope): unknown {
    return checkOutput(this.route, envelope.value);
  }

  protected sendCancel(): void {
    if (this.peer) sendControl(this.route.runtime, this.peer.id, "cancel", this.id);
  }

  #complete(envelope: Envelope): void {
    const value = this.complete(envelope);
    const { metrics } = this.route;
    metrics.ok.value++;
    metrics.duration.observe((nowMs() - this.#startedMs) / 1_000);
    this.#settle();
    this.succeed(value);
  }

  #attempt(): void {
    const { route } = this;
    const { runtime } = route;
    const now = nowMs();
    this.id = newId();
    this.#awaiting = false;
    this.#firstId ??= this.id;
    this.deadlineMs = Math.min(this.#finalDeadlineMs, now + this.#attemptMs);
    if (runtime.link.closed) {
      this.#finish(new MeshError("NOT_CONNECTED", "This connection to the mesh is closed."));
      return;
    }
    if (!runtime.link.connected) {
      this.deadlineMs = this.#finalDeadlineMs;
      runtime.inbox.add(this);
      const forget = runtime.whenConnected(() => {
        runtime.inbox.delete(this.id);
        if (!this.settled) this.#attempt();
      });
      this.onSettled(forget);
      return;
    }
    let peer: Peer | undefined;
    try {
      peer = this.#place();
    } catch (error) {
      this.#finish(error as MeshError);
      return;
    }
    if (peer === undefined) {
      if (!this.#awaitReturn(now)) this.#finish(this.#nobody());
      return;
    }
    this.peer = peer;
    peer.outstanding++;
    this.#sentMs = now;
    runtime.inbox.add(this);
    let subject = route.subjects.get(peer);
    if (subject === undefined) {
      subject = runtime.subjects.rpcInstance(route.agent, route.name, peer.id);
      route.subjects.set(peer, subject);
    }
    const sentAt = nowUs();
    try {
      this.frame = runtime.outbox.add(
        subject,
        {
          kind: KINDS.request,
          id: this.id,
          sender: runtime.client,
          recipient: peer.id,
          name: route.name,
          sentAt,
          deadline: sentAt + Math.ceil((this.#answerBy - now) * 1_000),
          parents: this.#scope ? [this.#scope.id] : undefined,
          trace: this.#trace(),
          payload: this.#payload,
          seq: this.credit,
        },
        runtime.inbox.nextReply,
      );
    } catch (error) {
      this.#leave();
      this.#finish(error as MeshError);
    }
  }

  #trace(): string | undefined {
    if (this.#scope) return this.#scope.traceparent;
    if (this.#firstId === this.id || this.#firstId === undefined) return undefined;
    const root = ulidToHex(this.#firstId);
    return `00-${root}-${root.slice(16)}-01`;
  }

  /** A stream may go on after the time that its attempt has to begin in. */
  get #answerBy(): number {
    return this.credit > 0 ? this.#finalDeadlineMs : this.deadlineMs;
  }

  #place(): Peer | undefined {
    const { agent, name, placement, runtime } = this.route;
    let candidates = runtime.directory.candidates(agent, name);
    const tried = this.#tried;
    if (tried) candidates = candidates.filter((peer) => !tried.has(peer));
    if (candidates.length === 0) return undefined;
    return placement.pick(candidates, this.#key, Math.random) as Peer;
  }

  /** Why there is no instance to send to. */
  #nobody(): MeshError {
    const { agent, name, runtime } = this.route;
    if (this.#lastError) return this.#lastError;
    if (runtime.directory.has(agent)) {
      return new MeshError("NO_CAPABILITY", `No live instance of agent ${agent} offers ${name}.`);
    }
    return new MeshError(
      "NO_AGENT",
      `No live instance of agent ${agent} is in mesh ${runtime.subjects.mesh}. Start one, or wait with mesh.waitFor().`,
    );
  }

  /** When a broker was away, instances come back one by one: waits for the next of them. False: no use to wait. */
  #awaitReturn(now: number): boolean {
    const { agent, runtime } = this.route;
    const untilMs = Math.max(runtime.returnsUntilMs, runtime.absentees.untilMs(agent));
    if (now >= untilMs || this.#lastError?.code === "OVERLOADED") return false;
    this.#awaiting = true;
    this.deadlineMs = this.#finalDeadlineMs;
    runtime.inbox.add(this);
    const end = (): void => {
      stop();
      clearTimeout(timer);
    };
    const again = (): void => {
      end();
      runtime.inbox.delete(this.id);
      if (!this.settled) this.#attempt();
    };
    const stop = runtime.directory.watch(({ type, instance }) => {
      if (type !== "left" && instance.agent === agent) again();
    });
    const timer = setTimeout(again, untilMs - now);
    this.onSettled(end);
    return true;
  }

  #elsewhere(outcome: AttemptOutcome, error: MeshError | undefined, why: string): void {
    if (this.settled) return;
    if (error) this.#lastError = error;
    const movable =
      !this.begun && mayTryElsewhere(outcome, this.route.capability.idempotent === true);
    if (!movable) {
      this.#finish(error ?? this.#timeoutError());
      return;
    }
    this.route.runtime.metrics.retries.with({ agent: this.route.agent, reason: why }).value++;
    this.#attempt();
  }

  /** Takes the request off the books of the instance it went to; `tried` instances are not chosen again. */
  #leave(tried = true): void {
    this.route.runtime.inbox.delete(this.id);
    const { peer } = this;
    if (peer === undefined) return;
    peer.outstanding--;
    if (tried) (this.#tried ??= new Set()).add(peer);
    this.peer = undefined;
  }

  #finish(error: MeshError): void {
    if (this.settled) return;
    const { metrics } = this.route;
    metrics.failed(error.code).value++;
    metrics.duration.observe((nowMs() - this.#startedMs) / 1_000);
    this.#settle();
    this.fail(error);
  }

  #settle(): void {
    this.settled = true;
    for (const cleanup of this.#cleanup ?? []) cleanup();
  }

  #timeoutError(): MeshError {
    const { agent, name, runtime } = this.route;
    const waited = Math.round(Math.min(nowMs(), this.#finalDeadlineMs) - this.#startedMs);
    return runtime.link.connected
      ? new MeshError("TIMEOUT", `${agent}.${name} did not answer within ${waited} ms.`)
      : new MeshError(
          "NOT_CONNECTED",
          `${agent}.${name}: no broker for ${waited} ms; it was not sent.`,
        );
  }
}
