import type { Socket } from "node:net";
import { reset } from "./reset.ts";

/** Bytes that one lane holds at most; then its sender is no longer read, as if its socket buffers were full. */
const capacity = 16 * 1024 * 1024;

export type LaneConditions = {
  held(): boolean;
  delayMs(): number;
  delivered(bytes: number): void;
};

type Item = { at: number; what: Buffer | "end" | "reset" };

/** One direction of a proxied connection: a queue of bytes, and of the connection's end, that keeps their order. */
export class ProxyLane {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #conditions: LaneConditions;
  #queue: Item[] = [];
  #queued = 0;
  #lastAt = 0;
  #draining = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(from: Socket, to: Socket, conditions: LaneConditions) {
    this.#from = from;
    this.#to = to;
    this.#conditions = conditions;
    from.on("data", (chunk) => this.#push(chunk));
    from.once("end", () => this.#push("end"));
    from.on("error", () => this.#push("reset")); // reset by its peer, or the target refused
    to.on("drain", () => {
      this.#draining = false;
      this.deliver();
    });
    to.once("close", () => this.#clear());
  }

  /** Delivers what is due, unless it is held, and comes back for what is due later. */
  deliver(): void {
    clearTimeout(this.#timer);
    while (this.#queue.length > 0 && !this.#draining && !this.#conditions.held()) {
      const { at, what } = this.#queue[0]!;
      const wait = at - performance.now();
      if (wait > 0) {
        this.#timer = setTimeout(() => this.deliver(), Math.ceil(wait));
        break;
      }
      this.#queue.shift();
      if (what === "end") this.#to.end();
      else if (what === "reset") reset(this.#to);
      else {
        this.#queued -= what.length;
        this.#draining = !this.#to.write(what);
        this.#conditions.delivered(what.length);
      }
    }
    if (this.#draining || this.#queued >= capacity) this.#from.pause();
    else if (this.#from.isPaused()) this.#from.resume();
  }

  /** Makes all that is queued due now. */
  hurry(): void {
    for (const item of this.#queue) item.at = 0;
    this.#lastAt = 0;
    this.deliver();
  }

  #push(what: Item["what"]): void {
    if (this.#to.destroyed) return;
    const at = Math.max(this.#lastAt, performance.now() + this.#conditions.delayMs());
    this.#lastAt = at;
    this.#queue.push({ at, what });
    if (typeof what !== "string") this.#queued += what.length;
    this.deliver();
  }

  #clear(): void {
    clearTimeout(this.#timer);
    this.#queue = [];
    this.#queued = 0;
  }
}
