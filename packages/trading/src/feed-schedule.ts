import type { Dataset } from "./dataset.ts";
import type { Instrument } from "./instrument.ts";
import { compare } from "./ledger.ts";
import { universe } from "./universe.ts";

/** A bar by its place: which instrument, which of its bars. */
export interface Slot {
  readonly instrument: Instrument;
  readonly seq: number;
}

/**
 * The order in which all bars of a run are published, known to every feed alike, so that separate feeds keep one market
 * time without talking to each other: slot number n is due n / rate seconds after the start.
 */
export interface FeedSchedule {
  readonly instruments: readonly Instrument[];
  /** How many slots there are; `Infinity` for synthetic instruments. */
  readonly length: number;
  /** So many slots at a time have the same date. */
  readonly stride: number;
  at(position: number): Slot;
}

/** Real bars by date; synthetic ones in turn, bar by bar over all symbols. */
export function feedSchedule(
  dataset: Dataset,
  plan: { readonly symbols: number; readonly seed: number },
): FeedSchedule {
  const instruments = universe(dataset, plan);
  return plan.symbols === 0 ? byDate(instruments) : inTurn(instruments);
}

/** How many bars of each symbol the first `limit` slots hold: the `bars` of a simulation that equals such a run. */
export function barsBefore(schedule: FeedSchedule, limit: number): (symbol: string) => number {
  const counts = new Map<string, number>();
  for (let position = 0; position < Math.min(limit, schedule.length); position += 1) {
    const { instrument, seq } = schedule.at(position);
    counts.set(instrument.symbol, seq + 1);
  }
  return (symbol) => counts.get(symbol) ?? 0;
}

function byDate(instruments: readonly Instrument[]): FeedSchedule {
  const slots = instruments
    .flatMap((instrument) =>
      Array.from({ length: instrument.length }, (_, seq) => ({
        instrument,
        seq,
        date: instrument.bar(seq).date,
      })),
    )
    .toSorted((a, b) => compare(a.date, b.date));
  return {
    instruments,
    length: slots.length,
    stride: 1,
    at(position) {
      const slot = slots[position];
      if (slot === undefined) throw new RangeError(`the schedule has no slot ${position}`);
      return slot;
    },
  };
}

function inTurn(instruments: readonly Instrument[]): FeedSchedule {
  return {
    instruments,
    length: Infinity,
    stride: instruments.length,
    at(position) {
      const instrument = instruments[position % instruments.length];
      if (instrument === undefined) throw new RangeError(`the schedule has no slot ${position}`);
      return { instrument, seq: Math.floor(position / instruments.length) };
    },
  };
}
