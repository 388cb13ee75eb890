import { isMeshError } from "@plexus/core";
import type { Link } from "./link.ts";

/** Something of the broker that is made when it is first needed, and once more when the broker has lost it. */
export class Lasting {
  readonly #link: Link;
  readonly #make: () => Promise<unknown>;
  readonly #onSilence: (() => void) | undefined;
  #made: Promise<unknown> | undefined;

  /** @param onSilence is called when nobody has answered for it */
  constructor(link: Link, make: () => Promise<unknown>, onSilence?: () => void) {
    this.#link = link;
    this.#make = make;
    this.#onSilence = onSilence;
  }

  /** Asks it: if it is not there any more, as what is in memory after the broker's restart, a second time, when it is. */
  async asking<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await this.#asking(ask);
    } catch (error) {
      if (isMeshError(error, "NOT_CONNECTED") || isMeshError(error, "TIMEOUT")) this.#onSilence?.();
      throw error;
    }
  }

  async #asking<T>(ask: () => Promise<T>): Promise<T> {
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
