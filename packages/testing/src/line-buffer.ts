import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

const kept = 10_000;

export type Found = { line: string } | { missing: "ended" | "expired" };

/** The lines of a stream, read at once so that the writer never blocks, with the last 10,000 kept for late readers. */
export class LineBuffer {
  #lines: string[] = [];
  #dropped = 0;
  #closed = false;
  #waiting: (() => void)[] = [];

  constructor(stream: Readable) {
    const reader = createInterface({ input: stream, crlfDelay: Infinity });
    reader.on("line", (line) => {
      this.#lines.push(line);
      if (this.#lines.length > kept) {
        this.#lines.shift();
        this.#dropped += 1;
      }
      this.#wake();
    });
    reader.once("close", () => {
      this.#closed = true;
      this.#wake();
    });
  }

  /** Kept lines, then new ones as they come; ends with the stream. */
  async *lines(stopped: () => boolean = () => false): AsyncGenerator<string, void, void> {
    for (let next = this.#dropped; ; next += 1) {
      while (next >= this.#dropped + this.#lines.length) {
        if (this.#closed || stopped()) return;
        // There is no line yet.
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
      next = Math.max(next, this.#dropped); // a slow reader misses what was dropped
      yield this.#lines[next - this.#dropped]!;
    }
  }

  /** The first line that matches, or why there is none: the stream ended, or the time passed. */
  async find(match: string | RegExp, timeoutMs: number): Promise<Found> {
    let expired = false;
    const timer = setTimeout(() => {
      expired = true;
      this.#wake();
    }, timeoutMs);
    try {
      for await (const line of this.lines(() => expired)) {
        if (typeof match === "string" ? line.includes(match) : line.search(match) >= 0) {
          return { line };
        }
      }
      return { missing: expired ? "expired" : "ended" };
    } finally {
      clearTimeout(timer);
    }
  }

  /** The last `count` lines as one text. */
  tail(count: number = kept): string {
    return this.#lines.slice(-count).join("\n");
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }
}
