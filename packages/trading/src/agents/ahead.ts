/** Does for a few items at once what takes time, and goes on with each when that is done. */
export class Ahead {
  readonly #limit: number;
  readonly #failed: (error: unknown) => void;
  readonly #pending = new Set<Promise<void>>();

  /**
   * @param limit items that may be pending before `add` asks to wait
   * @param failed told about everything that throws
   */
  constructor(limit: number, failed: (error: unknown) => void) {
    this.#limit = limit;
    this.#failed = failed;
  }

  /** Goes on with a result, at once if it is there. A promise that comes back asks to wait before the next one. */
  add<Result>(
    result: Result | Promise<Result>,
    goOn: (result: Result) => Promise<void> | undefined,
  ): Promise<void> | undefined {
    if (!(result instanceof Promise)) return goOn(result);
    const done = result
      .then(goOn)
      .catch(this.#failed)
      .finally(() => this.#pending.delete(done));
    this.#pending.add(done);
    return this.#pending.size < this.#limit ? undefined : Promise.race(this.#pending);
  }

  /** Resolves when nothing is pending. */
  async idle(): Promise<void> {
    await Promise.all(this.#pending);
  }
}
