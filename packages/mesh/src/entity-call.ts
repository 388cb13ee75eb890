import {
  KINDS,
  MeshError,
  fromWireError,
  ulidToHex,
  type Duration,
  type Envelope,
} from "@plexus/core";
import { nowMs, nowUs } from "./clock.ts";
import { currentScope, type Scope } from "./context.ts";
import { sendControl } from "./control.ts";
import { commandPayload, type SentCommand } from "./entity-command.ts";
import { explain } from "./route.ts";
import type { Pending } from "./inbox.ts";
import type { RequestMetrics } from "./metrics.ts";
import { isMoved } from "./partition-log.ts";
import { newId, type Runtime } from "./runtime.ts";
import type { z } from "zod";

/** Options of one direct command. */
export interface CommandOptions {
  /** Of the command: sent again with the same id, it is not executed again, and answers what was recorded. Default: a new one. */
  readonly id?: string;
  /** How long to wait in all. Default: the command's timeout, else 30 s; never longer than the running handler may. */
  readonly timeout?: Duration;
  readonly signal?: AbortSignal;
}

/** Where a command goes, and what its answer must be. */
export interface EntityRoute {
  readonly runtime: Runtime;
  readonly entity: string;
  readonly name: string;
  readonly output: z.ZodType;
  readonly metrics: RequestMetrics;
}

/** Before a partition is asked again that nobody owns: a tenth of the time that nobody has, within these. */
const PAUSE_MS = 10;
const MAX_PAUSE_MS = 100;
/** Without an answer it is sent again, as it may have gone to a former owner that hangs: after half the time waited, within these. */
const SILENT_MS = 100;
const MAX_SILENT_MS = 500;
const BOUNCE_MS = 100; // what bounces does so sooner
const MAX_LOST = 3; // owners that may die of one command

/**
 * One direct command: goes to the owner of its partition, whoever that is, until it is answered. As its id makes a repetition
 * harmless, it is sent again whenever it may not have arrived.
 */
export class EntityCall implements Pending {
  readonly id = newId();
  frame: string | undefined;
  deadlineMs: number;
  readonly #route: EntityRoute;
  readonly #key: string;
  readonly #payload: Uint8Array;
  readonly #maxLost: number;
  readonly #subject: string;
  readonly #partition: string;
  readonly #startedMs = nowMs();
  readonly #finalDeadlineMs: number;
  readonly #scope: Scope | undefined;
  readonly #settled = Promise.withResolvers<unknown>();
  #cleanup: (() => void)[] = [];
  /** `pausing`: before it is sent again; an answer may come all the same. */
  #phase: "sent" | "pausing" | "unconnected" | "over" = "pausing";
  /** Somebody had it, as it did not bounce. */
  #arrived = false;
  #sentMs = -Infinity;
  /** Since when nobody has owned the partition. */
  #unownedMs: number | undefined;
  #lost = 0;

  constructor(
    route: EntityRoute,
    partition: number,
    key: string,
    command: SentCommand,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ) {
    const { runtime, entity, name } = route;
    this.#route = route;
    this.#key = key;
    this.#payload = commandPayload(command);
    this.#maxLost = command.input === undefined ? Infinity : MAX_LOST; // nobody dies of a question
    this.#subject = runtime.subjects.rpcPartition(entity, name, partition);
    this.#partition = partitionTarget(entity, partition);
    this.#scope = currentScope();
    this.#finalDeadlineMs = Math.min(
      this.#startedMs + timeoutMs,
      this.#scope?.deadlineMs ?? Infinity,
    );
    this.deadlineMs = this.#finalDeadlineMs;
    if (signal) {
      const abort = (): void => this.#cancel(signal.reason);
      signal.addEventListener("abort", abort, { once: true });
      this.#cleanup.push(() => signal.removeEventListener("abort", abort));
    }
    if (this.#scope) this.#cleanup.push(this.#scope.onCancel((reason) => this.#cancel(reason)));
  }

  /** Sends the command; settles as it does. Call once. */
  run(signal: AbortSignal | undefined): Promise<unknown> {
    const canceled = signal?.aborted ? signal.reason : this.#scope?.canceled;
    if (canceled !== undefined) this.#cancel(canceled);
    else this.#send();
    return this.#settled.promise;
  }

  /** Probed while it waits for an answer. */
  get target(): string | undefined {
    return this.#phase === "sent" ? this.#partition : undefined;
  }

  answer(envelope: Envelope): void {
    if (envelope.kind !== KINDS.response && envelope.kind !== KINDS.error) return;
    try {
      const { value } = envelope;
      if (envelope.kind === KINDS.error) {
        const error = fromWireError(value);
        if (isMoved(error)) this.#pause();
        else this.#fail(error);
        return;
      }
      this.#succeed(value);
    } catch (cause) {
      this.#fail(new MeshError("INVALID_OUTPUT", `${this.#what}: ${String(cause)}`, { cause }));
    }
  }

  notDelivered(): void {
    this.#pause();
  }

  lost(why: Parameters<Pending["lost"]>[0]): void {
    if (why === "closing") this.#cancel(new Error("this connection to the mesh is closing"));
    else if (why === "instance" && this.#unbounced) {
      // The owner may have died of it.
      this.#arrived = true;
      if (++this.#lost <= this.#maxLost) return this.#pause();
      const text = `${this.#what}: ${this.#lost} owners of its partition vanished before they answered.`;
      this.#fail(new MeshError("AGENT_LOST", text));
    } else this.#pause();
  }

  timeout(): void {
    if (this.#unbounced) {
      this.#arrived = true;
      this.#unownedMs = undefined;
    }
    if (nowMs() < this.#finalDeadlineMs) return this.#send();
    const { runtime, entity } = this.#route;
    sendControl(runtime, this.#partition, "cancel", this.id);
    const waited = Math.round(this.#finalDeadlineMs - this.#startedMs);
    if (!runtime.link.connected) {
      this.#fail(
        new MeshError("NOT_CONNECTED", `${this.#what}: no broker for ${waited} ms.`, {
          retryable: false,
        }),
      );
    } else if (this.#arrived) {
      this.#fail(new MeshError("TIMEOUT", `${this.#what} did not answer within ${waited} ms.`));
    } else {
      const text = `${this.#what}: nobody owned the partition of ${JSON.stringify(this.#key)} for ${waited} ms. Host ${entity}.`;
      this.#fail(new MeshError("NO_AGENT", text));
    }
  }

  /** It was sent long enough ago that it would have come back, had nobody listened. */
  get #unbounced(): boolean {
    return this.#phase === "sent" && nowMs() - this.#sentMs >= BOUNCE_MS;
  }

  get #what(): string {
    return `${this.#route.entity}.${this.#route.name}`;
  }

  #send(): void {
    const { runtime, name } = this.#route;
    if (this.#phase === "over") return;
    const now = nowMs();
    if (now >= this.#finalDeadlineMs) return this.timeout();
    if (runtime.link.closed) {
      this.#fail(new MeshError("NOT_CONNECTED", "This connection to the mesh is closed."));
      return;
    }
    if (!runtime.link.connected) {
      this.#wait("unconnected", this.#finalDeadlineMs);
      this.#cleanup.push(runtime.whenConnected(() => this.#send()));
      return;
    }
    const silentMs = Math.min(Math.max(SILENT_MS, (now - this.#startedMs) / 2), MAX_SILENT_MS);
    this.#wait("sent", now + silentMs);
    this.#sentMs = now;
    const sentAt = nowUs();
    const scope = this.#scope;
    try {
      const deadline = sentAt + Math.ceil((this.#finalDeadlineMs - now) * 1_000);
      this.frame = runtime.outbox.add(
        this.#subject,
        {
          kind: KINDS.request,
          id: this.id,
          sender: runtime.client,
          recipient: this.#key,
          name,
          sentAt,
          deadline,
          parents: scope ? [scope.id] : undefined,
          trace: scope?.traceparent ?? rootTrace(this.id),
          payload: this.#payload,
        },
        runtime.inbox.nextReply,
      );
    } catch (error) {
      this.#fail(error as MeshError);
    }
  }

  /** Takes an answer at any time, and goes on when this one has come. */
  #wait(phase: "sent" | "pausing" | "unconnected", untilMs: number): void {
    this.#phase = phase;
    this.deadlineMs = Math.min(untilMs, this.#finalDeadlineMs);
    this.#route.runtime.inbox.add(this);
  }

  #pause(): void {
    if (this.#phase !== "sent") return;
    const now = nowMs();
    this.#unownedMs ??= now;
    const pauseMs = (now - this.#unownedMs) / 10;
    this.#wait("pausing", now + Math.min(Math.max(PAUSE_MS, pauseMs), MAX_PAUSE_MS));
  }

  #cancel(reason: unknown): void {
    if (this.#phase === "over") return;
    sendControl(this.#route.runtime, this.#partition, "cancel", this.id);
    const text = reason instanceof Error ? reason.message : "the caller gave up";
    this.#fail(
      new MeshError("CANCELED", `${this.#what} was canceled: ${text}.`, { cause: reason }),
    );
  }

  #succeed(value: unknown): void {
    const { metrics, output } = this.#route;
    const parsed = output.safeParse(value);
    if (!parsed.success) {
      const text = `${this.#what} answered outside its contract: ${explain(parsed.error)}`;
      this.#fail(new MeshError("INVALID_OUTPUT", text, { details: parsed.error.issues }));
      return;
    }
    metrics.ok.value++;
    this.#end();
    this.#settled.resolve(parsed.data);
  }

  #fail(error: MeshError): void {
    if (this.#phase === "over") return;
    this.#route.metrics.failed(error.code).value++;
    this.#end();
    this.#settled.reject(error);
  }

  #end(): void {
    this.#phase = "over";
    this.#route.runtime.inbox.delete(this.id);
    this.#route.metrics.duration.observe((nowMs() - this.#startedMs) / 1_000);
    for (const cleanup of this.#cleanup) cleanup();
  }
}

/** The control subject of a partition's owner, as an instance's: probed while somebody waits, told when they give up. */
export function partitionTarget(entity: string, partition: number): string {
  return `${entity}.p.${partition}`;
}

/** A new trace, for a message that no handler sends. */
export function rootTrace(id: string): string {
  const root = ulidToHex(id);
  return `00-${root}-${root.slice(16)}-01`;
}
