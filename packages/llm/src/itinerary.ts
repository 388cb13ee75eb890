import { MeshError, type Random } from "@plexus/core";
import type { Deployment, Unavailable } from "./deployment.ts";
import type { Failure } from "./failure.ts";
import type { Group } from "./group.ts";
import { rank } from "./router.ts";

/** Why a deployment was passed over. */
export type Passed = Unavailable | "limited";

/** The next step of a call. */
export interface Leg {
  readonly group: Group;
  readonly deployment: Deployment;
  /** It has failed this call before: how often. */
  readonly failures: number;
  /** Somebody else could be asked instead. */
  readonly alternatives: boolean;
}

const codes = {
  open: "BREAKER_OPEN",
  cooling: "RATE_LIMITED",
  limited: "RATE_LIMITED",
  unauthorized: "UNAUTHORIZED",
  full: "OVERLOADED",
} as const;

/** Which deployments a call visits: those of its group, each once and then again if that makes sense, then the fallbacks'. */
export class Itinerary {
  readonly #groups: Group[];
  readonly #random: Random;
  readonly #failures = new Map<Deployment, { last: Failure; count: number }>();
  readonly #passed = new Map<Deployment, Passed>();
  #attempts = 0;
  #inGroup = 0;
  #last: { deployment: Deployment; failure: Failure } | undefined;
  #ended = false;

  constructor(groups: readonly Group[], random: Random) {
    this.#groups = [...groups];
    this.#random = random;
  }

  /** Attempts so far. */
  get attempts(): number {
    return this.#attempts;
  }

  next(): Leg | undefined {
    while (!this.#ended && this.#groups.length > 0) {
      const group = this.#groups[0]!;
      const choice = this.#inGroup < group.attempts ? this.#choose(group) : [];
      const [deployment] = choice;
      if (deployment !== undefined) {
        const failures = this.#failures.get(deployment)?.count ?? 0;
        const alternatives = choice.length > 1 || this.#groups.length > 1;
        return { group, deployment, failures, alternatives };
      }
      this.#groups.shift();
      this.#inGroup = 0;
    }
    return undefined;
  }

  /** It was asked. */
  count(): void {
    this.#attempts++;
    this.#inGroup++;
  }

  failed(deployment: Deployment, failure: Failure): void {
    const count = (this.#failures.get(deployment)?.count ?? 0) + 1;
    this.#failures.set(deployment, { last: failure, count });
    this.#last = { deployment, failure };
    if (!failure.rule.fallback) this.#ended = true;
  }

  /** It was not asked, and is not going to be. */
  pass(deployment: Deployment, why: Passed): void {
    this.#passed.set(deployment, why);
  }

  /** Why the call as a whole has failed. */
  error(group: string): MeshError {
    if (this.#last) return this.#last.failure.toMeshError(this.#last.deployment.id);
    const reasons = [...this.#passed];
    const [, why = "open"] = reasons[0] ?? [];
    const waits = reasons.map(([deployment, reason]) =>
      reason === "open" ? deployment.breaker.resetMs : deployment.coolingMs,
    );
    const list = reasons.map(([{ id }, reason]) => `${id} is ${texts[reason]}`).join(", ");
    return new MeshError(codes[why], `No model of group ${group} can be asked: ${list}.`, {
      details: { group, retryAfterMs: Math.min(...waits) },
    });
  }

  /** Whoever has not failed comes first; who has, only if trying again makes sense. */
  #choose(group: Group): Deployment[] {
    const able: Deployment[] = [];
    for (const deployment of group.deployments) {
      if (this.#passed.has(deployment)) continue;
      const { unavailable } = deployment;
      if (unavailable === undefined) able.push(deployment);
      else this.#passed.set(deployment, unavailable);
    }
    const fresh = able.filter((one) => !this.#failures.has(one));
    const again = able.filter((one) => this.#failures.get(one)?.last.rule.retry);
    const ranked = rank(group.strategy, fresh, this.#random);
    return [...ranked, ...rank(group.strategy, again, this.#random)];
  }
}

const texts: Record<Passed, string> = {
  open: "kept from being asked by its breaker",
  cooling: "cooling down",
  limited: "at its rate limit",
  unauthorized: "not to be used with this key",
  full: "asked too much already",
};
