import { createHash } from "node:crypto";
import { toTimerMs } from "@plexus/core";
import { attempt } from "./attempt.ts";
import { Breaker } from "./breaker.ts";
import { Bulkhead } from "./bulkhead.ts";
import type { DeploymentSpec } from "./deployment-spec.ts";
import { Failure } from "./failure.ts";
import { guardedStream } from "./guarded-stream.ts";
import type { AttemptOptions, Model, ModelPart, ModelReply, ModelRequest } from "./model.ts";
import type { Pricing } from "./price.ts";
import { providerModel } from "./provider.ts";
import type { Candidate } from "./router.ts";

/** Why a deployment is not asked now. */
export type Unavailable = "open" | "cooling" | "unauthorized" | "full";

const SMOOTHING = 0.2; // weight of the newest latency in the moving average
const TYPICAL = { inputTokens: 1_000, outputTokens: 300, cachedTokens: 0 }; // to compare prices by

/** One model at one provider, with what protects it and what this process knows of it. */
export class Deployment implements Candidate {
  readonly id: string;
  readonly spec: DeploymentSpec;
  /** Names it across processes: those that use the same key of the same provider share its fate. */
  readonly sharedKey: string;
  readonly breaker: Breaker;
  readonly weight: number;
  readonly timeoutMs: number;
  readonly #model: Model;
  readonly #bulkhead: Bulkhead;
  #latencyMs: number | undefined;
  #cool: { readonly untilMs: number; readonly why: "cooling" | "unauthorized" } | undefined;
  #headroom: () => number = () => 1;
  #cost = 0;

  constructor(spec: DeploymentSpec, model: Model = providerModel(spec)) {
    this.spec = spec;
    this.id = spec.id ?? spec.model;
    this.sharedKey = sharedKey(this.id, spec);
    this.weight = spec.weight ?? 1;
    this.timeoutMs = toTimerMs(spec.timeout ?? "30s");
    this.#model = model;
    this.#bulkhead = new Bulkhead(spec.concurrency ?? 64, spec.queue ?? 256);
    const { errorPercent, minimumCalls, reset } = spec.breaker ?? {};
    this.breaker = new Breaker(this.id, {
      attemptMs: this.timeoutMs,
      ...(errorPercent === undefined ? {} : { errorPercent }),
      ...(minimumCalls === undefined ? {} : { minimumCalls }),
      ...(reset === undefined ? {} : { resetMs: toTimerMs(reset) }),
    });
  }

  get busy(): number {
    return this.#bulkhead.running;
  }

  get latencyMs(): number | undefined {
    return this.#latencyMs;
  }

  get headroom(): number {
    return this.#headroom();
  }

  get cost(): number {
    return this.#cost;
  }

  /** What the router compares, once it is known. */
  know({ cost, headroom }: { cost: Pricing; headroom?: () => number }): void {
    this.#cost = cost(TYPICAL) ?? 0;
    if (headroom) this.#headroom = headroom;
  }

  /** Undefined: it can be asked; while its breaker is half-open, by one call. */
  get unavailable(): Unavailable | undefined {
    if (this.coolingMs > 0) return this.#cool!.why;
    if (this.breaker.refuses) return "open";
    return undefined;
  }

  /** How much longer it must be left alone. */
  get coolingMs(): number {
    return this.#cool === undefined ? 0 : Math.max(0, this.#cool.untilMs - performance.now());
  }

  /** Leaves it alone for so long; a longer time that was asked for before stays. */
  coolDown(ms: number, why: "cooling" | "unauthorized" = "cooling"): void {
    const untilMs = performance.now() + ms;
    if (untilMs > (this.#cool?.untilMs ?? 0)) this.#cool = { untilMs, why };
  }

  /** Loads what the first call would otherwise wait for. */
  async load(): Promise<void> {
    await this.#model.load();
  }

  /** Waits for a place. Rejects with `OVERLOADED`, or a `Failure` when the signal fires. {@link leave} gives it back. */
  enter(signal: AbortSignal): Promise<void> {
    return this.#bulkhead.enter(signal);
  }

  leave(): void {
    this.#bulkhead.leave();
  }

  /** One attempt, under the breaker. Rejects with a `Failure`, or with `EOPENBREAKER`. */
  async generate(request: ModelRequest, { signal, ...rest }: AttemptOptions): Promise<ModelReply> {
    const startedMs = performance.now();
    const reply = await this.breaker.run(() =>
      attempt(this.timeoutMs, signal, (own) =>
        this.#model.generate(request, { signal: own, ...rest }),
      ),
    );
    this.#noteLatency(performance.now() - startedMs);
    return reply;
  }

  /** The same for a stream: the breaker learns at its end what came of it. */
  async *stream(
    request: ModelRequest,
    { signal, ...rest }: AttemptOptions,
  ): AsyncGenerator<ModelPart> {
    const startedMs = performance.now();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const { refuses } = this.breaker;
    const guarded = this.breaker.run(() => promise);
    guarded.catch(() => undefined); // told below
    let begun = false;
    try {
      if (refuses) await guarded;
      const parts = guardedStream({ idleMs: this.timeoutMs, signal }, (own) =>
        this.#model.stream(request, { signal: own, ...rest }),
      );
      for await (const part of parts) {
        if (!begun) this.#noteLatency(performance.now() - startedMs);
        begun = true;
        yield part;
      }
      resolve();
    } catch (error) {
      reject(error);
      throw error;
    } finally {
      reject(new Failure("aborted", "nobody reads on.")); // does nothing if it has ended
    }
  }

  dispose(): void {
    this.breaker.dispose();
  }

  #noteLatency(ms: number): void {
    const before = this.#latencyMs;
    this.#latencyMs = before === undefined ? ms : before + SMOOTHING * (ms - before);
  }
}

/** Tells keys apart without telling them. */
function sharedKey(id: string, { provider, baseUrl, model, apiKey }: DeploymentSpec): string {
  const secret = JSON.stringify([provider, baseUrl, model, apiKey]);
  return `${id}.${createHash("sha256").update(secret).digest("hex").slice(0, 12)}`;
}
