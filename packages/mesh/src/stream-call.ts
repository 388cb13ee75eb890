import { ChunkSequence, CreditWindow, KINDS, MeshError, type Envelope } from "@plexus/core";
import { nowMs } from "./clock.ts";
import { sendControl } from "./control.ts";
import { Exchange } from "./exchange.ts";
import { explain, type CallOptions, type Route } from "./route.ts";
import { STREAM_HEARTBEAT_MS } from "./stream-writer.ts";

/** Options of a streaming call. `timeout` bounds the whole stream. */
export interface StreamOptions extends CallOptions {
  /** How many chunks the writer may be ahead of the reader. Default 64. */
  readonly window?: number;
}

/** The chunks of a streaming call, in order, and its final answer. Breaking out of the loop cancels the handler. */
export interface MeshStream<Chunk, Result> extends AsyncIterableIterator<Chunk>, AsyncDisposable {
  /** Resolves with the handler's return value; without one, with the joined chunks. Consume the chunks as well. */
  readonly result: Promise<Result>;
}

const DEFAULT_WINDOW = 64;
const STALLED_AFTER_MS = 3 * STREAM_HEARTBEAT_MS;

type Waiter = { resolve(item: IteratorResult<unknown>): void; reject(error: MeshError): void };

/** A request that is answered by chunks. */
export class StreamCall extends Exchange implements MeshStream<unknown, unknown> {
  readonly result: Promise<unknown>;
  protected readonly credit: number;
  readonly #sequence = new ChunkSequence();
  readonly #window: CreditWindow;
  readonly #buffer: unknown[] = [];
  readonly #resolveResult: (value: unknown) => void;
  readonly #rejectResult: (error: MeshError) => void;
  #waiter: Waiter | undefined;
  #end: { error: MeshError | undefined } | undefined;
  #heardFrom: unknown;
  #heardMs = nowMs();
  #closedByReader = false;

  constructor(route: Route, input: unknown, options: StreamOptions) {
    super(route, input, options);
    const window = options.window ?? DEFAULT_WINDOW;
    if (!Number.isInteger(window) || window < 1) {
      throw new MeshError(
        "INVALID_CONTRACT",
        `window must be a whole number of 1 or more, not ${window}.`,
      );
    }
    this.credit = window;
    this.#window = new CreditWindow(window);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    promise.catch(() => undefined); // reading only the chunks must not leave an unhandled rejection
    this.result = promise;
    this.#resolveResult = resolve;
    this.#rejectResult = reject;
    const watchdog = setInterval(() => this.#checkStall(), STREAM_HEARTBEAT_MS);
    watchdog.unref();
    this.onSettled(() => clearInterval(watchdog));
  }

  async next(): Promise<IteratorResult<unknown>> {
    if (this.#buffer.length > 0) {
      const value = this.#buffer.shift();
      this.#grant();
      return { done: false, value };
    }
    if (this.#end) {
      const { error } = this.#end;
      this.#end = { error: undefined };
      if (error && !this.#closedByReader) throw error;
      return { done: true, value: undefined };
    }
    if (this.#waiter) {
      throw new MeshError(
        "INVALID_CONTRACT",
        "A stream has one reader: await next() before the next one.",
      );
    }
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
    });
  }

  async return(): Promise<IteratorResult<unknown>> {
    this.#closedByReader = true;
    this.#buffer.length = 0;
    this.cancel(new Error("the reader stopped"));
    return { done: true, value: undefined };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  protected override get begun(): boolean {
    return this.#sequence.received > 0;
  }

  protected part(envelope: Envelope): void {
    this.#heardMs = nowMs();
    if (envelope.kind !== KINDS.chunk) return;
    switch (this.#sequence.accept(envelope.seq)) {
      case "duplicate":
        return;
      case "gap":
        this.abandon(
          this.#gap(`chunk ${this.#sequence.received} is missing, ${envelope.seq} came`),
        );
        return;
      case "next":
        this.#take(envelope);
    }
  }

  protected override complete(envelope: Envelope): unknown {
    if (envelope.seq !== this.#sequence.received) {
      throw this.#gap(`the last ${envelope.seq - this.#sequence.received} chunks are missing`);
    }
    return super.complete(envelope);
  }

  protected succeed(value: unknown): void {
    this.#resolveResult(value);
    this.#finishReading(undefined);
  }

  protected fail(error: MeshError): void {
    this.#rejectResult(error);
    this.#finishReading(error);
  }

  #take(envelope: Envelope): void {
    const { agent, name, capability } = this.route;
    let value: unknown;
    try {
      const parsed = capability.stream!.safeParse(envelope.value);
      if (!parsed.success) {
        throw new MeshError(
          "INVALID_OUTPUT",
          `${agent}.${name}: chunk ${envelope.seq} is outside the contract: ${explain(parsed.error)}`,
        );
      }
      value = parsed.data;
    } catch (error) {
      this.abandon(error as MeshError);
      return;
    }
    const waiter = this.#waiter;
    if (waiter) {
      this.#waiter = undefined;
      waiter.resolve({ done: false, value });
      this.#grant();
    } else if (this.#buffer.length < this.credit) this.#buffer.push(value);
    else this.abandon(this.#gap("the writer ignores its credit"));
  }

  #grant(): void {
    const credit = this.#window.consumed();
    if (credit > 0 && this.peer)
      sendControl(this.route.runtime, this.peer.id, "credit", this.id, credit);
  }

  #finishReading(error: MeshError | undefined): void {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if (waiter === undefined) {
      this.#end = { error };
      return;
    }
    this.#end = { error: undefined };
    if (error && !this.#closedByReader) waiter.reject(error);
    else waiter.resolve({ done: true, value: undefined });
  }

  #checkStall(): void {
    if (this.peer !== this.#heardFrom) {
      this.#heardFrom = this.peer;
      this.#heardMs = nowMs();
    } else if (this.peer === undefined) return;
    else if (nowMs() - this.#heardMs > STALLED_AFTER_MS) {
      const { agent, name } = this.route;
      this.abandon(
        new MeshError(
          "TIMEOUT",
          `${agent}.${name}: neither chunk nor heartbeat for ${STALLED_AFTER_MS} ms.`,
        ),
      );
    }
  }

  #gap(why: string): MeshError {
    return new MeshError("STREAM_GAP", `${this.route.agent}.${this.route.name}: ${why}.`);
  }
}
