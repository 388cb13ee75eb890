import { seededRandom } from "@plexus/testing";

interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** Simulated real time, in ms, and the only source of chance: everything that happens follows from the seed. */
export class World {
  now = 0;
  readonly #random: () => number;
  readonly #trace: ((line: string) => void) | undefined;
  readonly #heap: Event[] = [];
  #order = 0;
  #digest = 0;

  constructor(seed: number, trace?: (line: string) => void) {
    this.#random = seededRandom(seed);
    this.#trace = trace;
  }

  /** Of everything that was noted so far, in order. */
  get digest(): number {
    return this.#digest;
  }

  /** A number from `low` up to but not including `high`. */
  between(low: number, high: number): number {
    return low + this.#random() * (high - low);
  }

  /** A whole number from `low` to `high`. */
  whole(low: number, high: number): number {
    return Math.floor(this.between(low, high + 1));
  }

  chance(probability: number): boolean {
    return this.#random() < probability;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.whole(0, list.length - 1)]!;
  }

  /** Notes that something happened: in the digest always, for a person to read on demand. */
  note(what: string, ...numbers: readonly number[]): void {
    for (const number of numbers) this.#digest = (Math.imul(this.#digest, 31) + number) | 0;
    this.#digest = (Math.imul(this.#digest, 31) + what.length + Math.round(this.now * 8)) | 0;
    this.#trace?.(`${this.now.toFixed(1).padStart(9)} ${what} ${numbers.join(" ")}`);
  }

  after(ms: number, run: () => void): void {
    const event = { at: this.now + ms, order: this.#order++, run };
    const heap = this.#heap;
    let child = heap.push(event) - 1;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (!before(event, heap[parent]!)) break;
      heap[child] = heap[parent]!;
      child = parent;
    }
    heap[child] = event;
  }

  /** Lets everything happen that is due within the next `ms`. */
  run(ms: number): void {
    const end = this.now + ms;
    for (let first = this.#heap[0]; first && first.at <= end; first = this.#heap[0]) {
      this.#removeFirst();
      this.now = first.at;
      first.run();
    }
    this.now = end;
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let parent = 0;
    for (;;) {
      let child = 2 * parent + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[parent] = heap[child]!;
      parent = child;
    }
    heap[parent] = last;
  }
}

const before = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);
