/** One unit of work that waits for a slot. */
export interface Waiting {
  /** Begin; a slot is taken. Must not throw. */
  start(): void;
}

const SHARE = 256; // works started from the queue before the event loop gets a turn

/** Admission control: `concurrency` slots and a bounded queue. A full queue refuses, it does not grow. */
export class Gate {
  readonly concurrency: number;
  readonly queueLimit: number;
  #running = 0;
  #queue: Waiting[] = [];
  #head = 0;
  #pumping = false;
  #share = SHARE;
  #idle: (() => void)[] = [];

  constructor(concurrency: number, queueLimit: number) {
    this.concurrency = concurrency;
    this.queueLimit = queueLimit;
  }

  get running(): number {
    return this.#running;
  }

  get queued(): number {
    return this.#queue.length - this.#head;
  }

  /** Starts `work` now, queues it, or returns false when both slots and queue are full. */
  admit(work: Waiting): boolean {
    if (this.#running < this.concurrency && this.queued === 0) {
      this.#running++;
      work.start();
      return true;
    }
    if (this.queued >= this.queueLimit) return false;
    this.#queue.push(work);
    return true;
  }

  /** Gives a slot back; the longest waiting work takes it. */
  release(): void {
    this.#running--;
    // Work that ends synchronously releases from inside start(): a loop here, not a recursion as deep as the queue.
    if (!this.#pumping) this.#pump();
  }

  #pump(): void {
    this.#pumping = true;
    while (this.#running < this.concurrency) {
      const next = this.#queue[this.#head];
      if (next === undefined) break;
      if (this.#share === 0) {
        // Handlers that end in microtasks would otherwise empty the queue while sockets and timers starve.
        setImmediate(() => {
          this.#share = SHARE;
          this.#pump();
        });
        return;
      }
      this.#share--;
      this.#head++;
      this.#running++;
      next.start();
    }
    this.#pumping = false;
    if (this.#head > 1_024 || this.#head === this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    if (this.#running === 0 && this.queued === 0) {
      for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  /** Drops all that waits; returns how many. */
  clear(): number {
    const { queued } = this;
    this.#queue = [];
    this.#head = 0;
    return queued;
  }

  /** Resolves once nothing runs and nothing waits. */
  async idle(): Promise<void> {
    if (this.#running === 0 && this.queued === 0) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }
}
