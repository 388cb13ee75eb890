/** Restarts groups of processes, each group one after the other, and once more when something changed meanwhile. */
export class Reloader {
  readonly #restart: (name: string) => Promise<void>;
  /** Groups being restarted; true: again afterwards. */
  readonly #groups = new Map<string, boolean>();

  constructor(restart: (name: string) => Promise<void>) {
    this.#restart = restart;
  }

  reload(group: string, names: readonly string[]): void {
    if (this.#groups.has(group)) this.#groups.set(group, true);
    else void this.#run(group, names);
  }

  async #run(group: string, names: readonly string[]): Promise<void> {
    do {
      this.#groups.set(group, false);
      for (const name of names) {
        // One at a time, so that the others serve meanwhile.
        await this.#restart(name);
      }
    } while (this.#groups.get(group) === true);
    this.#groups.delete(group);
  }
}
