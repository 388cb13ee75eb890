import { MeshError } from "@plexus/core";
import { NOTHING, type Amount } from "./amount.ts";
import type { BudgetScope, Budgets } from "./budgets.ts";
import type { Deployment } from "./deployment.ts";
import { Failure } from "./failure.ts";
import type { LlmMetrics } from "./llm-metrics.ts";
import type { ModelPart, ModelReply, ModelRequest, Usage } from "./model.ts";
import { upperBound, type Pricing } from "./price.ts";
import type { RateLimit } from "./rate-limit.ts";
import type { UsageLedger } from "./usage-ledger.ts";

/** What one call comes to, over all its attempts. */
export class Bill {
  nanoUsd = 0;
  inputTokens = 0;
  outputTokens = 0;
  cachedTokens = 0;
  attempts = 0;

  add(usage: Usage, nanoUsd: number): void {
    this.nanoUsd += nanoUsd;
    this.inputTokens += usage.inputTokens;
    this.outputTokens += usage.outputTokens;
    this.cachedTokens += usage.cachedTokens;
  }

  get usage(): Usage {
    const { inputTokens, outputTokens, cachedTokens } = this;
    return { inputTokens, outputTokens, cachedTokens };
  }
}

/** What the till has to know of a call. */
export interface Charged {
  readonly signal: AbortSignal;
  readonly scope: BudgetScope;
  readonly bill: Bill;
  /** The answer waits until its charge is recorded. */
  readonly confirm: boolean;
  readonly idempotencyKey?: string;
}

export interface TillParts {
  readonly budgets: Budgets;
  readonly prices: ReadonlyMap<Deployment, Pricing>;
  readonly limits: ReadonlyMap<Deployment, RateLimit>;
  readonly metrics: LlmMetrics;
  readonly usage: UsageLedger;
  /** What an answer may take at most, if the request does not say. */
  readonly maxTokens: number;
}

const BYTES_PER_TOKEN = 4; // what is assumed to have been counted, when nobody says

/** Tokens of a request's input, as they are on average. */
function guessInput(request: ModelRequest): number {
  return Math.ceil(upperBound(request, 0).inputTokens / BYTES_PER_TOKEN);
}

/** Every attempt passes here: once it has a place it is reserved, and counted and charged when it has ended. */
export class Till {
  readonly #parts: TillParts;

  constructor(parts: TillParts) {
    this.#parts = parts;
  }

  /** Tokens that a request may take, for rate limits: providers count what an answer is allowed to be. */
  estimate(request: ModelRequest): number {
    return guessInput(request) + (request.maxTokens ?? this.#parts.maxTokens);
  }

  async generate(
    deployment: Deployment,
    request: ModelRequest,
    call: Charged,
  ): Promise<ModelReply> {
    await deployment.enter(call.signal);
    try {
      const entry = await this.#open(deployment, request, call);
      try {
        return await entry.end(await deployment.generate(entry.request, entry.options));
      } catch (error) {
        entry.fail(error, "");
        throw error;
      }
    } finally {
      deployment.leave();
    }
  }

  async *stream(
    deployment: Deployment,
    request: ModelRequest,
    call: Charged,
  ): AsyncGenerator<ModelPart> {
    await deployment.enter(call.signal);
    let entry: Entry | undefined;
    let text = "";
    try {
      entry = await this.#open(deployment, request, call);
      for await (const part of deployment.stream(entry.request, entry.options)) {
        if (part.type === "text") text += part.text;
        else await entry.end(part.reply);
        yield part;
      }
    } catch (error) {
      entry?.fail(error, text);
      throw error;
    } finally {
      entry?.fail(new Failure("aborted", "nobody reads on."), text); // does nothing if it is closed
      deployment.leave();
    }
  }

  async #open(deployment: Deployment, asked: ModelRequest, call: Charged): Promise<Entry> {
    const { budgets, prices, maxTokens } = this.#parts;
    const request = { ...asked, maxTokens: asked.maxTokens ?? maxTokens };
    const pricing = prices.get(deployment)!;
    const bound = upperBound(request, request.maxTokens);
    const most = pricing(bound);
    if (most === undefined && budgets.countsMoney(call.scope)) {
      throw new MeshError(
        "INVALID_CONTRACT",
        `Nobody knows what model ${deployment.id} costs, and money is limited: give it a price.`,
      );
    }
    const need = { nanoUsd: most ?? 0, tokens: bound.inputTokens + bound.outputTokens };
    const reservation = await budgets.reserve(call.scope, need);
    return new Entry(this.#parts, deployment, request, call, reservation);
  }
}

/** One attempt in the books. */
class Entry {
  readonly request: ModelRequest;
  readonly options: { signal: AbortSignal; idempotencyKey?: string };
  readonly #parts: TillParts;
  readonly #deployment: Deployment;
  readonly #call: Charged;
  readonly #reservation: { settle(actual: Amount): Promise<void> | undefined };
  readonly #startedMs = performance.now();
  #closed = false;

  constructor(
    parts: TillParts,
    deployment: Deployment,
    request: ModelRequest,
    call: Charged,
    reservation: { settle(actual: Amount): Promise<void> | undefined },
  ) {
    this.#parts = parts;
    this.#deployment = deployment;
    this.#call = call;
    this.#reservation = reservation;
    this.request = request;
    const { signal, idempotencyKey } = call;
    this.options = { signal, ...(idempotencyKey === undefined ? {} : { idempotencyKey }) };
  }

  /** It was answered. Throws if the provider has kept the answer to itself: that is charged all the same. */
  async end(reply: ModelReply): Promise<ModelReply> {
    const refused = reply.finishReason === "content-filter";
    const settled = this.#close(refused ? "refused" : "ok", reply.usage);
    if (settled !== undefined && this.#call.confirm) await beforeAbort(settled, this.#call.signal);
    if (!refused) return reply;
    throw new Failure("refused", "the provider's content filter has stopped the answer.");
  }

  /** It has ended: with what the provider counted, or with what it may have counted, or free of charge. */
  #close(outcome: string, usage: Usage | undefined): Promise<void> | undefined {
    if (this.#closed) return undefined;
    this.#closed = true;
    const { metrics, prices, limits, usage: ledger } = this.#parts;
    const { id } = this.#deployment;
    metrics.attempt(id, outcome, performance.now() - this.#startedMs);
    this.#call.bill.attempts++;
    const cost = usage === undefined ? 0 : (prices.get(this.#deployment)!(usage) ?? 0);
    const tokens = usage === undefined ? 0 : usage.inputTokens + usage.outputTokens;
    limits.get(this.#deployment)?.correct(this.#estimate(), tokens);
    ledger.add(
      { agent: this.#call.scope.agent ?? "-", model: id, ok: outcome === "ok" },
      usage,
      cost,
    );
    if (usage !== undefined) {
      metrics.charge(id, usage, cost);
      this.#call.bill.add(usage, cost);
    }
    const actual = usage === undefined ? NOTHING : { nanoUsd: cost, tokens };
    return this.#reservation.settle(actual);
  }

  fail(error: unknown, text: string): void {
    if (this.#closed) return;
    if (!(error instanceof Failure)) return void this.#close("refused", undefined); // it was not asked
    const { charge } = error.rule;
    const guess = {
      inputTokens: guessInput(this.request),
      outputTokens: Math.ceil(Buffer.byteLength(text) / BYTES_PER_TOKEN),
      cachedTokens: 0,
    };
    void this.#close(error.kind, charge === "nothing" ? undefined : guess);
  }

  #estimate(): number {
    return guessInput(this.request) + (this.request.maxTokens ?? 0);
  }
}

/** Waits for something, but not longer than until the signal fires. */
async function beforeAbort(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const abort = (): void => resolve();
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) resolve();
  await Promise.race([work, promise]);
  signal.removeEventListener("abort", abort);
}
