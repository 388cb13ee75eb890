import { startBroker } from "@plexus/testing";
import type { Place } from "./contenders/contender.ts";
import { installPeers } from "./install-peers.ts";
import { spread, type Spread } from "./stats.ts";

export interface Measurement {
  readonly name: string;
  readonly unit: string;
  readonly value: number;
}

/** Where one sample is taken: on a broker of its own, so that nobody carries what another one has left behind. */
export interface Site extends Place {
  readonly brokerPid: number;
  readonly quick: boolean;
}

/** What must hold, computed within each round and judged by the median over the rounds. */
export interface Bar<Contender extends string = string> {
  readonly name: string;
  readonly is: "at least" | "at most";
  readonly bar: number;
  /** Judge the worst round instead of the median one. */
  readonly everyRound?: boolean;
  of(this: void, value: (contender: Contender, name: string) => number): number;
}

export interface Bench<Contender extends string = string> {
  readonly contenders: readonly Contender[];
  /** What the contenders' names stand for, where they are not those of `contenders/`. */
  readonly legend?: Readonly<Record<string, string>>;
  readonly rounds: { readonly full: number; readonly quick: number };
  readonly bars: readonly Bar<Contender>[];
  /** Measures one contender once, with processes of its own, warmed up. */
  sample(contender: Contender, site: Site): Promise<readonly Measurement[]>;
}

export interface Case extends Spread {
  readonly name: string;
  readonly contender: string;
  readonly unit: string;
}

export interface Ratio {
  readonly name: string;
  /** Null when a contender that it needs is missing. */
  readonly value: number | null;
  readonly bar: number;
  readonly ok: boolean;
}

export interface Outcome {
  readonly broker: string;
  readonly cases: readonly Case[];
  readonly ratios: readonly Ratio[];
  readonly missing: readonly { readonly contender: string; readonly reason: string }[];
}

/** Contenders whose packages are installed on demand. */
const PEERS = /^(moleculer|bullmq|langgraph)/;

/** One round's measurements: contender → case → measurement. */
type Round = Map<string, Map<string, Measurement>>;

/**
 * Takes every contender's sample once a round, in an order that rotates, so that whatever else the machine does
 * meets all of them alike. A contender that fails is left out from there on, and no bar that needs it holds.
 */
export async function runRounds(
  bench: Bench,
  options: { quick: boolean; log: (line: string) => void },
): Promise<Outcome> {
  const { quick, log } = options;
  const missing = new Map<string, string>();
  const peers = bench.contenders.filter((contender) => PEERS.test(contender));
  const unavailable = peers.length === 0 ? undefined : installPeers(log);
  if (unavailable !== undefined) for (const peer of peers) missing.set(peer, unavailable);

  const rounds: Round[] = [];
  const count = quick ? bench.rounds.quick : bench.rounds.full;
  const versions = new Set<string>();
  for (let index = 0; index < count; index += 1) {
    const round: Round = new Map();
    for (const [place, contender] of rotated(bench.contenders, index).entries()) {
      if (missing.has(contender)) continue;
      log(`round ${index + 1} of ${count}: ${contender}`);
      // One after the other, or they would measure each other.
      await using broker = await startBroker();
      const { url: servers, version, pid: brokerPid = 0 } = broker;
      versions.add(version);
      try {
        const measurements = await bench.sample(contender, {
          servers,
          namespace: `bench-${index}-${place}`,
          brokerPid,
          quick,
        });
        round.set(contender, new Map(measurements.map((one) => [one.name, one])));
      } catch (error) {
        missing.set(contender, error instanceof Error ? error.message : String(error));
        log(`${contender} failed and is left out: ${missing.get(contender)}`);
      }
    }
    rounds.push(round);
  }

  return {
    broker: [...versions].join(", "),
    cases: bench.contenders.flatMap((contender) => casesOf(contender, rounds)),
    ratios: bench.bars.map((bar) => judge(bar, rounds)),
    missing: [...missing].map(([contender, reason]) => ({ contender, reason })),
  };
}

function rotated<T>(items: readonly T[], by: number): T[] {
  const shift = by % items.length;
  return [...items.slice(shift), ...items.slice(0, shift)];
}

function casesOf(contender: string, rounds: readonly Round[]): Case[] {
  const values = new Map<string, { unit: string; values: number[] }>();
  for (const round of rounds) {
    for (const { name, unit, value } of round.get(contender)?.values() ?? []) {
      const known = values.get(name) ?? { unit, values: [] };
      known.values.push(value);
      values.set(name, known);
    }
  }
  return [...values].map(([name, known]) =>
    Object.assign({ name, contender, unit: known.unit }, spread(known.values)),
  );
}

function judge({ name, is, bar, everyRound = false, of }: Bar, rounds: readonly Round[]): Ratio {
  const values = rounds.map((round) =>
    of((contender, measurement) => round.get(contender)?.get(measurement)?.value ?? Number.NaN),
  );
  const label = `${name} (${is})`;
  if (!values.every((value) => Number.isFinite(value))) {
    return { name: label, value: null, bar, ok: false };
  }
  const { median, min, max } = spread(values);
  const worst = is === "at least" ? min : max;
  const value = everyRound ? worst : median;
  return { name: label, value, bar, ok: is === "at least" ? value >= bar : value <= bar };
}
