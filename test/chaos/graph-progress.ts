import type { NatsConnection } from "@nats-io/transport-node";

const LOOK_MS = 200;

/** The watchdog of runs: hears each record on its way, and how long each run has gone without one. */
export class RunProgress implements Disposable {
  readonly #last = new Map<string, number>();
  readonly #stuckMs: number;
  /** The longest time that any run has made no progress. */
  longestMs = 0;
  /** Runs that have made none for too long. */
  readonly stuck = new Set<string>();
  readonly #anyStuck = Promise.withResolvers<void>();
  readonly #watch: NodeJS.Timeout;

  constructor(nats: NatsConnection, mesh: string, stuckMs: number) {
    this.#stuckMs = stuckMs;
    this.#watch = setInterval(() => this.#look(), LOOK_MS);
    nats.subscribe(`${mesh}.log.*.*.*`, {
      callback: (_, { subject }) => {
        const thread = subject.slice(subject.lastIndexOf(".") + 1);
        if (this.#last.has(thread)) this.#note(thread);
      },
    });
  }

  begins(thread: string): void {
    this.#last.set(thread, performance.now());
  }

  ends(thread: string): void {
    this.#note(thread);
    this.#last.delete(thread);
  }

  /** Resolves when a run is stuck. */
  get anyStuck(): Promise<void> {
    return this.#anyStuck.promise;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#watch);
  }

  #look(): void {
    for (const [thread, last] of this.#last) {
      const stalledMs = performance.now() - last;
      this.longestMs = Math.max(this.longestMs, stalledMs);
      if (stalledMs <= this.#stuckMs) continue;
      this.stuck.add(thread);
      this.#anyStuck.resolve();
    }
  }

  #note(thread: string): void {
    const now = performance.now();
    this.longestMs = Math.max(this.longestMs, now - this.#last.get(thread)!);
    this.#last.set(thread, now);
  }
}
