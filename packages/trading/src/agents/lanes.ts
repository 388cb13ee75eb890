/** Tasks in lanes: one after the other within a lane, lanes side by side. */
export class Lanes {
  readonly #tails = new Map<string, Promise<void>>();
  readonly #limit: number;
  readonly #failed: (error: unknown) => void;
  #pending = 0;
  #room: PromiseWithResolvers<void> | undefined;
  #idle: PromiseWithResolvers<void> | undefined;

  /**
   * @param limit tasks that may be pending before `add` asks to wait
   * @param failed told about every task that throws; the lane goes on
   */
  constructor(limit: number, failed: (error: unknown) => void) {
    this.#limit = limit;
    this.#failed = failed;
  }

  get pending(): number {
    return this.#pending;
  }

  /** Queues a task. A promise that comes back asks to wait for room before the next one. */
  add(lane: string, task: () => Promise<void>): Promise<void> | undefined {
    this.#pending += 1;
    this.#tails.set(lane, this.#run(this.#tails.get(lane), task));
    if (this.#pending < this.#limit) return undefined;
    this.#room ??= Promise.withResolvers();
    return this.#room.promise;
  }

  /** Resolves when nothing is pending. */
  async idle(): Promise<void> {
    if (this.#pending === 0) return;
    this.#idle ??= Promise.withResolvers();
    await this.#idle.promise;
  }

  async #run(previous: Promise<void> | undefined, task: () => Promise<void>): Promise<void> {
    await previous;
    try {
      await task();
    } catch (error) {
      this.#failed(error);
    }
    this.#pending -= 1;
    if (this.#pending < this.#limit) {
      this.#room?.resolve();
      this.#room = undefined;
    }
    if (this.#pending === 0) {
      this.#idle?.resolve();
      this.#idle = undefined;
    }
  }
}
