/** Verdict of {@link ChunkSequence.accept}. */
export type ChunkVerdict = "next" | "duplicate" | "gap";

/** Checks that the chunks of a stream arrive as 0, 1, 2 …: loss is detected, repetition dropped. */
export class ChunkSequence {
  #next = 0;

  get received(): number {
    return this.#next;
  }

  accept(seq: number): ChunkVerdict {
    if (seq < this.#next) return "duplicate";
    if (seq !== this.#next) return "gap";
    this.#next++;
    return "next";
  }
}

/**
 * The reader's side of a credit window: the writer may be `window` chunks ahead of what the reader has consumed.
 * Credit is given back in halves of the window, so a fast reader costs one control message per half.
 */
export class CreditWindow {
  readonly window: number;
  #owed = 0;

  constructor(window: number) {
    this.window = window;
  }

  /** Call when a chunk was consumed; returns the credit to grant now, or 0. */
  consumed(): number {
    this.#owed++;
    if (this.#owed < Math.max(1, this.window >> 1)) return 0;
    const grant = this.#owed;
    this.#owed = 0;
    return grant;
  }
}
