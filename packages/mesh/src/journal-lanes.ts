/** What waits for its turn on one key. */
interface Lane<T> {
  readonly queue: (T | Gate)[];
  running: Promise<void>;
}

/** Somebody waits until everything before it is done, and holds back what comes after. */
class Gate {
  readonly reached = Promise.withResolvers<void>();
  readonly opened = Promise.withResolvers<void>();
}

/**
 * Turns by key: what is added to a key is worked on in its order, several at a time if there are; different keys do
 * not wait for each other. Whoever needs several keys gets all of them in the order of asking, so nobody waits for ever.
 */
export class KeyLanes<T> {
  readonly #lanes = new Map<string, Lane<T>>();
  readonly #work: (items: T[]) => Promise<void>;
  readonly #most: (waiting: readonly T[]) => number;

  /**
   * @param work never rejects
   * @param most how many of those that wait are worked on together: at least one
   */
  constructor(work: (items: T[]) => Promise<void>, most: (waiting: readonly T[]) => number) {
    this.#work = work;
    this.#most = most;
  }

  /** Resolves when nothing waits any more. */
  async settled(): Promise<void> {
    while (this.#lanes.size > 0) {
      // As long as something is added.
      await Promise.all([...this.#lanes.values()].map((lane) => lane.running));
    }
  }

  add(key: string, item: T): void {
    this.#push(key, item);
  }

  /** Runs `work` when everything before it on any of these keys is done; what comes after waits for it. */
  async alone<R>(keys: readonly string[], work: () => Promise<R>): Promise<R> {
    const gates = keys.map((key) => {
      const gate = new Gate();
      this.#push(key, gate);
      return gate;
    });
    await Promise.all(gates.map((gate) => gate.reached.promise));
    try {
      return await work();
    } finally {
      for (const gate of gates) gate.opened.resolve();
    }
  }

  #push(key: string, item: T | Gate): void {
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      const queue = [item];
      lane = { queue, running: this.#run(key, queue) };
      this.#lanes.set(key, lane);
    } else lane.queue.push(item);
  }

  async #run(key: string, queue: (T | Gate)[]): Promise<void> {
    await Promise.resolve(); // so that what is added in one go is worked on together
    // One after the other: that is what keeps the order.
    while (queue.length > 0) {
      const first = queue[0]!;
      if (first instanceof Gate) {
        queue.shift();
        first.reached.resolve();
        await first.opened.promise;
        continue;
      }
      const gate = queue.findIndex((item) => item instanceof Gate);
      const waiting = (gate < 0 ? queue : queue.slice(0, gate)) as T[];
      await this.#work(queue.splice(0, this.#most(waiting)) as T[]);
    }
    this.#lanes.delete(key);
  }
}
