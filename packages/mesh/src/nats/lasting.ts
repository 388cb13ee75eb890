import { isMeshError } from "@plexus/core";
import type { Link } from "./link.ts";

/** Something of the broker that is made when it is first needed, and once more when the broker has lost it. */
export class Lasting {
  readonly #link: Link;
  readonly #make: () => Promise<unknown>;
  #made: Promise<unknown> | undefined;

  constructor(link: Link, make: () => Promise<unknown>) {
    this.#link = link;
    this.#make = make;
  }

  /** Asks it: if it is not there any more, as what is in memory after the broker's restart, a second time, when it is. */
  async asking<T>(ask: () => Promise<T>): Promise<T> {
    await this.#open();
    try {
      return await ask();
    } catch (error) {
      if (!isMeshError(error, "NOT_CONNECTED") || !this.#link.connected) throw error;
      this.#made = undefined;
      await this.#open();
      return ask();
    }
  }

  #open(): Promise<unknown> {
    if (this.#made === undefined) {
      const made = this.#make();
      this.#made = made;
      made.catch(() => {
        if (this.#made === made) this.#made = undefined;
      });
    }
    return this.#made;
  }
}
