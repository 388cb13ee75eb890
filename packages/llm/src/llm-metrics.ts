import { usd } from "./amount.ts";
import type { BreakerState } from "./breaker.ts";
import type { CacheOutcome } from "./cache.ts";
import type { Fleet } from "./fleet.ts";
import type { Usage } from "./model.ts";

const SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120];
const STATES: Record<BreakerState, number> = { closed: 0, "half-open": 1, open: 2 };

/** What the model layer counts. Labels are names from the configuration, and fixed sets. */
export class LlmMetrics {
  readonly #calls;
  readonly #attempts;
  readonly #duration;
  readonly #tokens;
  readonly #cost;
  readonly #state;
  readonly #cache;
  readonly #alerts;

  constructor({ meter }: Fleet) {
    this.#calls = meter.counter("plexus_llm_calls_total", "Calls by outcome (ok or a code)", [
      "group",
      "outcome",
    ]);
    this.#attempts = meter.counter(
      "plexus_llm_attempts_total",
      "Attempts at a deployment by outcome (ok or how it failed)",
      ["model", "outcome"],
    );
    this.#duration = meter.histogram(
      "plexus_llm_attempt_duration_seconds",
      "From asking a deployment to its answer",
      ["model"],
      SECONDS,
    );
    this.#tokens = meter.counter("plexus_llm_tokens_total", "Tokens charged", ["model", "kind"]);
    this.#cost = meter.counter("plexus_llm_cost_usd_total", "US dollars charged", ["model"]);
    this.#state = meter.gauge(
      "plexus_breaker_state",
      "Of a deployment's breaker: 0 closed, 1 half-open, 2 open",
      ["model"],
    );
    this.#cache = meter.counter(
      "plexus_llm_cache_total",
      "Calls that may be cached: hit, miss, shared",
      ["outcome"],
    );
    this.#alerts = meter.counter("plexus_llm_budget_alerts_total", "Thresholds crossed", [
      "threshold",
    ]);
  }

  call(group: string, outcome: string): void {
    this.#calls.with({ group, outcome }).value++;
  }

  attempt(model: string, outcome: string, ms: number): void {
    this.#attempts.with({ model, outcome }).value++;
    this.#duration.with({ model }).observe(ms / 1_000);
  }

  charge(model: string, usage: Usage, nanoUsd: number): void {
    this.#tokens.with({ model, kind: "input" }).value += usage.inputTokens;
    this.#tokens.with({ model, kind: "output" }).value += usage.outputTokens;
    this.#cost.with({ model }).value += usd(nanoUsd);
  }

  breaker(model: string, state: BreakerState): void {
    this.#state.with({ model }).value = STATES[state];
  }

  cache(outcome: CacheOutcome): void {
    this.#cache.with({ outcome }).value++;
  }

  alert(threshold: number): void {
    this.#alerts.with({ threshold: String(threshold) }).value++;
  }
}
