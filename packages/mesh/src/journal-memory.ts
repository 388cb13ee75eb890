import type { EventId } from "./journal-record.ts";

/** The last event of a key that this process knows. */
interface Last {
  readonly sequence: number;
  readonly id: EventId;
}

const MAX_KEYS = 65_536;

/** The last event of each key that this process has appended or read, as far as it remembers: the cause of the next one. */
export class LastSeen {
  readonly #last = new Map<string, Last>();

  of(token: string): Last | undefined {
    return this.#last.get(token);
  }

  note(token: string, sequence: number, id: EventId): void {
    const known = this.#last.get(token);
    if (known !== undefined && known.sequence > sequence) return;
    this.#last.delete(token);
    this.#last.set(token, { sequence, id });
    if (this.#last.size <= MAX_KEYS) return;
    for (const oldest of this.#last.keys()) {
      this.#last.delete(oldest);
      return;
    }
  }
}
