import type { Dataset } from "./dataset.ts";
import { type Instrument, realInstruments } from "./instrument.ts";
import { syntheticSymbols } from "./synthetic.ts";

export interface Universe {
  /** 0 or absent: the real instruments. Otherwise that many synthetic ones. */
  readonly symbols?: number;
  /** Seed of the synthetic instruments; the real ones do not depend on it. */
  readonly seed?: number;
}

/** The instruments of a run. */
export function universe(dataset: Dataset, { symbols = 0, seed = 1 }: Universe = {}): Instrument[] {
  return symbols === 0 ? realInstruments(dataset) : syntheticSymbols(symbols, seed, dataset.index);
}
