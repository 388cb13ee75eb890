import { monthIndex } from "./calendar.ts";
import type { FundamentalView } from "./fundamental-view.ts";
import type { SentimentView } from "./sentiment-view.ts";

/** What is known as of one month. */
export interface Views {
  readonly fundamental: FundamentalView;
  readonly sentiment: SentimentView;
}

/** The views of the latest `limit` months, by month index; they may come in any order. */
export class MonthlyViews {
  readonly #months = new Map<number, Partial<Views>>();
  readonly #limit: number;
  #oldest = -Infinity;
  #newest = -Infinity;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Answers whether the view is new: neither known already nor older than what is kept. */
  add(month: number, kind: "fundamental", view: FundamentalView): boolean;
  add(month: number, kind: "sentiment", view: SentimentView): boolean;
  add(month: number, kind: keyof Views, view: FundamentalView | SentimentView): boolean {
    const known = this.#months.get(month);
    if (known?.[kind] !== undefined || month < this.#oldest) return false;
    this.#months.set(month, { ...known, [kind]: view });
    this.#retain(month, view.seq);
    return true;
  }

  /** Both views of a month, once both have come. */
  get(month: number): Views | undefined {
    const { fundamental, sentiment } = this.#months.get(month) ?? {};
    return fundamental === undefined || sentiment === undefined
      ? undefined
      : { fundamental, sentiment };
  }

  /** Months before this one are gone or never had views; -Infinity while nothing is known. */
  get oldest(): number {
    return this.#oldest;
  }

  /** Views are numbered consecutively, so number 0 is the first month that will ever have one. */
  #retain(month: number, seq: number): void {
    this.#newest = Math.max(this.#newest, month);
    const oldest = Math.max(month - seq, this.#newest - this.#limit + 1, this.#oldest);
    if (oldest === this.#oldest) return;
    this.#oldest = oldest;
    for (const known of this.#months.keys()) if (known < oldest) this.#months.delete(known);
  }
}

/** The month whose views a signal of this date is joined with, as a month index: the month before. */
export function neededMonth(signal: { readonly date: string }): number {
  return monthIndex(signal.date) - 1;
}
