import { monthIndex } from "./calendar.ts";
import type { FundamentalView } from "./fundamental-view.ts";
import { MonthlyViews, neededMonth, type Views } from "./monthly-views.ts";
import type { SentimentView } from "./sentiment-view.ts";
import type { TechnicalSignal } from "./technical-signal.ts";

/** What a strategy decides on: the signal of a bar in month M and the views as of month M - 1. */
export interface JoinedInput<Signal extends TechnicalSignal = TechnicalSignal> extends Views {
  readonly signal: Signal;
}

export interface EventTimeJoinOptions {
  /** Signals that may wait for views, over all symbols. From half of them on, `room` asks to hold back. */
  readonly maxBuffered?: number;
  /** Months of views that are kept; a signal older than these is late. */
  readonly maxMonths?: number;
}

/** All but `joined` and `buffered` stay 0 on a healthy feed. */
export interface EventTimeJoinStats {
  joined: number;
  /** Signals waiting now. */
  buffered: number;
  /** Signals dropped because the buffer was full. */
  overflowed: number;
  /** Signals dropped because the views they need are gone or never existed. */
  late: number;
  duplicateSignals: number;
  duplicateViews: number;
  /** Sequence numbers that were skipped: signals that never came. */
  missing: number;
}

/**
 * Joins by event time, so that the outcome does not depend on who was faster: a signal of month M leaves with exactly
 * the views as of M - 1, after all earlier signals of its symbol, however signals and views interleave on arrival.
 * Signals of one symbol must be pushed in order; views may come in any order. Each push answers what became ready.
 */
export class EventTimeJoin<Signal extends TechnicalSignal = TechnicalSignal> {
  readonly #stats: EventTimeJoinStats = {
    joined: 0,
    buffered: 0,
    overflowed: 0,
    late: 0,
    duplicateSignals: 0,
    duplicateViews: 0,
    missing: 0,
  };
  readonly #views: MonthlyViews;
  readonly #maxBuffered: number;
  readonly #nextSeq = new Map<string, number>();
  readonly #queues = new Map<string, Signal[]>();
  /** Symbols by the month that their oldest waiting signal needs. */
  readonly #waiting = new Map<number, Set<string>>();
  #room: PromiseWithResolvers<void> | undefined;

  constructor({ maxBuffered = 100_000, maxMonths = 2_400 }: EventTimeJoinOptions = {}) {
    this.#maxBuffered = maxBuffered;
    this.#views = new MonthlyViews(maxMonths);
  }

  get stats(): Readonly<EventTimeJoinStats> {
    return this.#stats;
  }

  /** A promise when many signals wait: it resolves once views have let enough of them go. */
  room(): Promise<void> | undefined {
    if (this.#stats.buffered < this.#maxBuffered / 2) return undefined;
    this.#room ??= Promise.withResolvers();
    return this.#room.promise;
  }

  pushSignal(signal: Signal): JoinedInput<Signal>[] {
    const { symbol, seq } = signal;
    const next = this.#nextSeq.get(symbol) ?? 0;
    if (seq < next) {
      this.#stats.duplicateSignals += 1;
      return [];
    }
    const queue = this.#queues.get(symbol);
    if (queue !== undefined && this.#stats.buffered >= this.#maxBuffered) return this.#overflow();
    const step = queue === undefined ? this.#join(signal) : "wait";
    if (step === "wait" && this.#stats.buffered >= this.#maxBuffered) return this.#overflow();
    this.#stats.missing += seq - next;
    this.#nextSeq.set(symbol, seq + 1);
    if (step === "late") return [];
    if (step !== "wait") return [step];
    this.#stats.buffered += 1;
    if (queue === undefined) {
      this.#queues.set(symbol, [signal]);
      this.#wait(symbol, neededMonth(signal));
    } else {
      queue.push(signal);
    }
    return [];
  }

  pushFundamental(view: FundamentalView): JoinedInput<Signal>[] {
    const month = monthIndex(view.asOf);
    return this.#release(month, this.#views.add(month, "fundamental", view));
  }

  pushSentiment(view: SentimentView): JoinedInput<Signal>[] {
    const month = monthIndex(view.asOf);
    return this.#release(month, this.#views.add(month, "sentiment", view));
  }

  /** Moves on the symbols that waited for this month, or for one that will not come any more. */
  #release(month: number, isNew: boolean): JoinedInput<Signal>[] {
    const ready: JoinedInput<Signal>[] = [];
    if (!isNew) {
      this.#stats.duplicateViews += 1;
      return ready;
    }
    // Draining adds to what waits, so what is due is collected first.
    const { oldest } = this.#views;
    const due = [...this.#waiting].filter(([waited]) => waited === month || waited < oldest);
    for (const [waited, symbols] of due) {
      this.#waiting.delete(waited);
      for (const symbol of symbols) this.#drain(symbol, ready);
    }
    if (this.#room !== undefined && this.#stats.buffered < this.#maxBuffered / 2) {
      this.#room.resolve();
      this.#room = undefined;
    }
    return ready;
  }

  #drain(symbol: string, ready: JoinedInput<Signal>[]): void {
    const queue = this.#queues.get(symbol) ?? [];
    let done = 0;
    for (const signal of queue) {
      const step = this.#join(signal);
      if (step === "wait") {
        this.#wait(symbol, neededMonth(signal));
        break;
      }
      if (step !== "late") ready.push(step);
      done += 1;
    }
    this.#stats.buffered -= done;
    if (done === queue.length) this.#queues.delete(symbol);
    else queue.splice(0, done);
  }

  #join(signal: Signal): JoinedInput<Signal> | "late" | "wait" {
    const month = neededMonth(signal);
    const views = this.#views.get(month);
    if (views !== undefined) {
      this.#stats.joined += 1;
      return { signal, fundamental: views.fundamental, sentiment: views.sentiment };
    }
    if (month >= this.#views.oldest) return "wait";
    this.#stats.late += 1;
    return "late";
  }

  #overflow(): JoinedInput<Signal>[] {
    this.#stats.overflowed += 1;
    return [];
  }

  #wait(symbol: string, month: number): void {
    const symbols = this.#waiting.get(month);
    if (symbols === undefined) this.#waiting.set(month, new Set([symbol]));
    else symbols.add(symbol);
  }
}
