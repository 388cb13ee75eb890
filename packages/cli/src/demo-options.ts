import { InvalidArgumentError } from "commander";
import { MAX_REPLICAS, planRun, Role, type RunPlan } from "@plexus/trading";

/** What `plexus demo` was asked for. */
export interface DemoOptions {
  /** Bars, and so signals, a second. */
  readonly rate?: number;
  readonly seconds?: number;
  readonly symbols?: number;
  readonly seed: number;
  readonly replicas?: Partial<Record<Role, number>>;
  /** Kill processes and the broker while it runs. */
  readonly chaos?: true;
  /** Have the agents ask a stub model that fails. */
  readonly llmFaults?: true;
  readonly json?: true;
  /** A broker that runs already; otherwise the demo brings its own. */
  readonly server?: string;
}

/** The real 5,665 bars in about eleven seconds. */
const DEFAULT_RATE = 500;
/** The stub answers within a fraction of this, on a busy machine, too. */
const STUB_WITHIN_MS = 1_000;
const LOAD_SYMBOLS = 100;
const LOAD_SECONDS = 20;

/** With `--rate` alone the load comes from synthetic symbols, because the real bars would soon be used up. */
export function runPlan(options: DemoOptions, realBars: number): RunPlan {
  const { rate = DEFAULT_RATE, seed } = options;
  const symbols = options.symbols ?? (options.rate === undefined ? 0 : LOAD_SYMBOLS);
  const seconds = options.seconds ?? (symbols === 0 ? Infinity : LOAD_SECONDS);
  const bars = Math.max(1, Math.round(rate * seconds));
  return planRun({
    symbols,
    seed,
    rate,
    bars: symbols === 0 ? Math.min(bars, realBars) : bars,
    ...(options.llmFaults === true ? { modelWithinMs: STUB_WITHIN_MS } : {}),
    ...(options.replicas === undefined ? {} : { replicas: options.replicas }),
  });
}

export function positiveNumber(text: string): number {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value))) throw new InvalidArgumentError("Must be above 0.");
  return value;
}

/** Several times what two cores can take: more would only make the run endless. */
const MAX_RATE = 200_000;

export function signalRate(text: string): number {
  const value = positiveNumber(text);
  if (value > MAX_RATE) throw new InvalidArgumentError(`At most ${MAX_RATE}.`);
  return value;
}

export function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("Must be a whole number.");
  return Number(text);
}

export function symbolCount(text: string): number {
  const value = wholeNumber(text);
  if (value > 10_000) throw new InvalidArgumentError("At most 10000.");
  return value;
}

/** `technical=2`, repeatable. */
export function replicaCount(
  text: string,
  previous: Partial<Record<Role, number>> = {},
): Partial<Record<Role, number>> {
  const [name, count] = text.split("=", 2);
  const role = Role.safeParse(name);
  if (!role.success) {
    throw new InvalidArgumentError(`The role must be one of ${Role.options.join(", ")}.`);
  }
  const replicas = wholeNumber(count ?? "");
  if (replicas < 1 || replicas > MAX_REPLICAS) {
    throw new InvalidArgumentError(`The count must be 1 to ${MAX_REPLICAS}.`);
  }
  return { ...previous, [role.data]: replicas };
}
