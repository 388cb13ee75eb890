/** Where an event came from: the publisher, the subject and its number there, from 1. */
export interface Origin {
  readonly sender: string;
  readonly subject: string;
  readonly seq: number;
}

/** Follows the events of one hop until each publisher's end marker has come for each subject. */
export class Inflow {
  readonly #seen = new Map<string, Map<string, number>>();
  readonly #endsExpected: number;
  #ends = 0;
  #duplicates = 0;

  /** @param endsExpected publishers times the subjects that each of them uses */
  constructor(endsExpected: number) {
    this.#endsExpected = endsExpected;
  }

  /** Whether this item is new. */
  item(origin: Origin): boolean {
    return this.#isNew(origin);
  }

  /** Whether this end marker was the last one. */
  end(origin: Origin): boolean {
    if (!this.#isNew(origin)) return false;
    this.#ends += 1;
    return this.ended;
  }

  get ended(): boolean {
    return this.#ends >= this.#endsExpected;
  }

  get duplicates(): number {
    return this.#duplicates;
  }

  #isNew({ sender, subject, seq }: Origin): boolean {
    let subjects = this.#seen.get(sender);
    if (subjects === undefined) {
      subjects = new Map();
      this.#seen.set(sender, subjects);
    }
    if (seq <= (subjects.get(subject) ?? 0)) {
      this.#duplicates += 1;
      return false;
    }
    subjects.set(subject, seq);
    return true;
  }
}
