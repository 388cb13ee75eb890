import { MeshError } from "@plexus/core";

/** A writer that has nothing to send says so this often; its reader gives up after three silent periods. */
export const STREAM_HEARTBEAT_MS = 1_000;

/** Where a stream's chunks go. */
export interface ChunkSink {
  chunk(value: unknown, seq: number): void;
  heartbeat(): void;
}

/** The chunks a generator yields, sent within the credit that the reader grants. */
export class StreamWriter {
  readonly #sink: ChunkSink;
  #credit: number;
  #seq = 0;
  #resume: (() => void) | undefined;
  #stopped: MeshError | undefined;
  #onStop: ((reason: MeshError) => void) | undefined;
  #sentSinceBeat = false;

  constructor(sink: ChunkSink, credit: number) {
    this.#sink = sink;
    this.#credit = credit;
  }

  get count(): number {
    return this.#seq;
  }

  grant(credit: number): void {
    this.#credit += credit;
    this.#wake();
  }

  /** Ends the stream with an error at the next step, without waiting for the generator. */
  stop(reason: MeshError): void {
    this.#stopped = reason;
    this.#wake();
  }

  /**
   * Pumps the generator dry and returns its result; one that returns nothing after chunks of text results in that text
   * (up to a mebibyte of it). Throws what the generator throws, or the reason it was stopped for.
   */
  async pump(generator: AsyncIterator<unknown, unknown>): Promise<unknown> {
    const beat = setInterval(() => {
      if (!this.#sentSinceBeat) this.#sink.heartbeat();
      this.#sentSinceBeat = false;
    }, STREAM_HEARTBEAT_MS);
    let text: string | undefined;
    try {
      for (;;) {
        while (this.#credit <= 0 && !this.#stopped) await this.#pause();
        if (this.#stopped) throw this.#stopped;
        const step = await this.#step(generator);
        if (step.done) return step.value === undefined ? text : step.value;
        if (this.#stopped) throw this.#stopped;
        this.#credit--;
        this.#sentSinceBeat = true;
        this.#sink.chunk(step.value, this.#seq++);
        text = append(this.#seq === 1 ? "" : text, step.value);
      }
    } catch (error) {
      // Not awaited: a generator that hangs in its own await must not hold up the answer.
      void Promise.resolve(generator.return?.()).catch(() => undefined);
      throw error;
    } finally {
      clearInterval(beat);
    }
  }

  /** The generator's next step, or the reason to stop. A promise per step: racing one for all would pile up in it. */
  #step(generator: AsyncIterator<unknown, unknown>): Promise<IteratorResult<unknown, unknown>> {
    return new Promise((resolve, reject) => {
      this.#onStop = reject;
      generator.next().then(resolve, reject);
    });
  }

  #wake(): void {
    if (this.#stopped) this.#onStop?.(this.#stopped);
    this.#resume?.();
    this.#resume = undefined;
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#resume = resolve;
    });
  }
}

const MAX_TEXT = 1_048_576;

function append(text: string | undefined, chunk: unknown): string | undefined {
  if (text === undefined || typeof chunk !== "string") return undefined;
  return text.length + chunk.length > MAX_TEXT ? undefined : text + chunk;
}
