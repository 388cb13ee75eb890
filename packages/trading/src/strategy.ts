import type { Decision, StrategyName } from "./decision.ts";
import type { JoinedInput } from "./event-time-join.ts";
import type { TechnicalSignal } from "./technical-signal.ts";

/** What a rule wants: a position, or no change. Reasons that never vary are constants, so holding costs no formatting. */
interface Verdict {
  readonly targetShares?: number;
  readonly reason: string;
}

/** A trading rule for one symbol: a fold over its inputs. It never learns what became of its orders. */
type Rule = (input: JoinedInput) => Verdict;

/** A named rule; `start` begins the fold of one symbol. */
export interface StrategySpec {
  readonly name: StrategyName;
  start(capitalCents: number): Rule;
}

export interface Strategy {
  readonly name: StrategyName;
  /** Inputs of a symbol must come in order, as `EventTimeJoin` hands them out. */
  decide(input: JoinedInput): Decision;
}

interface SymbolState {
  readonly rule: Rule;
  targetShares: number;
  orders: number;
}

/** Runs one rule over any number of symbols, each with `capitalCents` to size its positions by. */
export function createStrategy(spec: StrategySpec, capitalCents: number): Strategy {
  const symbols = new Map<string, SymbolState>();
  return {
    name: spec.name,
    decide(input) {
      const { symbol, seq, date, closeCents: priceCents } = input.signal;
      let state = symbols.get(symbol);
      if (state === undefined) {
        state = { rule: spec.start(capitalCents), targetShares: 0, orders: 0 };
        symbols.set(symbol, state);
      }
      const { targetShares = state.targetShares, reason } = state.rule(input);
      const decided = { strategy: spec.name, symbol, seq, date, priceCents, reason };
      if (targetShares === state.targetShares) return { ...decided, action: "hold" };
      const action = targetShares > state.targetShares ? "buy" : "sell";
      const number = state.orders;
      state.targetShares = targetShares;
      state.orders += 1;
      return { ...decided, action, targetShares, number };
    },
  };
}

/** Shares that `fraction` of the capital buys at the close. */
export function sharesFor(fraction: number, capitalCents: number, signal: TechnicalSignal): number {
  return Math.floor((fraction * capitalCents) / signal.closeCents);
}
