import { DEFAULT_BACKOFF, MeshError, backoffMs, isMeshError, type Random } from "@plexus/core";
import type { BudgetScope } from "./budgets.ts";
import type { Deployment } from "./deployment.ts";
import { Failure } from "./failure.ts";
import { chain, type Group } from "./group.ts";
import type { Health } from "./health.ts";
import { Itinerary, type Leg } from "./itinerary.ts";
import type { Log } from "./log.ts";
import type { Bill, Till } from "./till.ts";
import type { ModelPart, ModelReply, ModelRequest } from "./model.ts";
import { pause } from "./pause.ts";
import type { RateLimit } from "./rate-limit.ts";

/** One call on its way. */
export interface Call {
  readonly signal: AbortSignal;
  /** When everything must have ended, by `performance.now()`. */
  readonly untilMs: number;
  readonly scope: BudgetScope;
  readonly bill: Bill;
  readonly confirm: boolean;
  readonly idempotencyKey?: string;
}

/** Checks an answer: whether it will do, or what to ask instead. */
export type Check = (reply: ModelReply) => ModelRequest | undefined;

export interface RouteParts {
  readonly groups: ReadonlyMap<string, Group>;
  readonly health: Health;
  readonly limits: ReadonlyMap<Deployment, RateLimit>;
  readonly till: Till;
  readonly random: Random;
  readonly log: Log;
}

const DEFAULT_COOL_MS = 5_000; // after a 429 that does not say how long
const UNAUTHORIZED_MS = 60_000; // somebody has to change the key

/** Takes a call to a deployment that answers it. The only place where anything is tried again. */
export class Route {
  readonly #parts: RouteParts;

  constructor(parts: RouteParts) {
    this.#parts = parts;
  }

  /** Rejects with a `MeshError`: of the last failure, or of why nobody could be asked. */
  async generate(
    group: string,
    request: ModelRequest,
    call: Call,
    check?: Check,
  ): Promise<{ reply: ModelReply; deployment: Deployment }> {
    const itinerary = this.#itinerary(group);
    for (let leg = itinerary.next(); leg !== undefined; leg = itinerary.next()) {
      // The next one only after this one has failed.
      if (!(await this.#admit(leg, itinerary, request, call))) continue;
      try {
        const reply = await this.#hedged(leg, itinerary, request, call, check);
        if (reply !== undefined) return reply;
      } catch (error) {
        this.#judge(leg.deployment, itinerary, error);
      }
    }
    throw itinerary.error(group);
  }

  /** The same for a stream: what fails before the first piece is tried elsewhere, what fails behind it is told. */
  async *stream(
    group: string,
    request: ModelRequest,
    call: Call,
  ): AsyncGenerator<{ part: ModelPart; deployment: Deployment }> {
    const itinerary = this.#itinerary(group);
    for (let leg = itinerary.next(); leg !== undefined; leg = itinerary.next()) {
      // The next one only after this one has failed.
      if (!(await this.#admit(leg, itinerary, request, call))) continue;
      const { deployment } = leg;
      let text = "";
      try {
        itinerary.count();
        for await (const part of this.#parts.till.stream(deployment, request, call)) {
          if (part.type === "text") text += part.text;
          yield { part, deployment };
        }
        return;
      } catch (error) {
        this.#judge(deployment, itinerary, error);
        if (text !== "") throw itinerary.error(group);
      }
    }
    throw itinerary.error(group);
  }

  #itinerary(group: string): Itinerary {
    return new Itinerary(chain(this.#parts.groups, group), this.#parts.random);
  }

  /** Waits for whatever comes before an attempt. False: this deployment is passed over. */
  async #admit(
    leg: Leg,
    itinerary: Itinerary,
    request: ModelRequest,
    call: Call,
  ): Promise<boolean> {
    const { deployment, failures, alternatives } = leg;
    try {
      if (failures > 0) {
        await pause(backoffMs(DEFAULT_BACKOFF, failures, this.#parts.random), call.signal);
      }
      const limit = this.#parts.limits.get(deployment);
      if (limit !== undefined) {
        const patienceMs = alternatives ? 0 : Math.max(0, call.untilMs - performance.now());
        const tokens = this.#parts.till.estimate(request);
        if (!(await limit.take(tokens, patienceMs, call.signal))) {
          itinerary.pass(deployment, "limited");
          return false;
        }
      }
    } catch (error) {
      if (call.signal.aborted) throw this.#aborted(deployment, call.signal);
      throw error;
    }
    if (
      deployment.breaker.state === "half-open" &&
      !(await this.#parts.health.mayTry(deployment))
    ) {
      itinerary.pass(deployment, "open");
      return false;
    }
    return true;
  }

  /** An attempt, and a second one elsewhere if the group hedges and the first takes its time. */
  async #hedged(
    { group, deployment }: Leg,
    itinerary: Itinerary,
    request: ModelRequest,
    call: Call,
    check: Check | undefined,
  ): Promise<{ reply: ModelReply; deployment: Deployment } | undefined> {
    itinerary.count();
    const { hedgeMs } = group;
    if (hedgeMs === undefined || request.tools !== undefined) {
      return { reply: await this.#attempt(deployment, request, call, check), deployment };
    }
    const race = new AbortController();
    const signal = AbortSignal.any([call.signal, race.signal]);
    const start = async (one: Deployment) => ({
      reply: await this.#attempt(one, request, { ...call, signal }, check),
      deployment: one,
    });
    const first = start(deployment);
    const waiting = new AbortController();
    const late = pause(hedgeMs, waiting.signal).then(
      () => true,
      () => false,
    );
    const slow = await Promise.race([first.then(() => false), late]).finally(() => waiting.abort());
    const other = slow ? this.#other(group, deployment) : undefined;
    if (other === undefined) return first;
    itinerary.count();
    const second = start(other);
    try {
      return await Promise.any([first, second]);
    } catch {
      for (const [one, attempt] of [
        [deployment, first],
        [other, second],
      ] as const) {
        // Both have failed already.
        await attempt.catch((error: unknown) => this.#judge(one, itinerary, error));
      }
      return undefined;
    } finally {
      race.abort(new Failure("aborted", "another deployment was faster."));
    }
  }

  /** Somebody else in the group who can be asked without further ado. */
  #other(group: Group, first: Deployment): Deployment | undefined {
    return group.deployments.find(
      (one) =>
        one !== first &&
        one.unavailable === undefined &&
        one.breaker.state === "closed" &&
        !this.#parts.limits.has(one),
    );
  }

  async #attempt(
    deployment: Deployment,
    request: ModelRequest,
    call: Call,
    check: Check | undefined,
  ): Promise<ModelReply> {
    const reply = await this.#parts.till.generate(deployment, request, call);
    const repair = check?.(reply);
    if (repair === undefined) return reply;
    const repaired = await this.#parts.till.generate(deployment, repair, call);
    if (check!(repaired) === undefined) return repaired;
    throw new Failure("structure", "the answer does not match the schema, and was not repaired.");
  }

  /** What follows from a failed attempt. Throws what is none of the deployment's doing. */
  #judge(deployment: Deployment, itinerary: Itinerary, error: unknown): void {
    const { health, log } = this.#parts;
    if (error instanceof Failure) {
      if (error.kind === "rateLimit") {
        health.coolDown(deployment, error.retryAfterMs ?? DEFAULT_COOL_MS);
      } else if (error.kind === "auth") {
        deployment.coolDown(UNAUTHORIZED_MS, "unauthorized");
        log.warn(
          { model: deployment.id, status: error.status },
          "the provider refuses the API key",
        );
      }
      itinerary.failed(deployment, error);
    } else if (isMeshError(error, "OVERLOADED")) itinerary.pass(deployment, "full");
    else if (isRefusal(error)) itinerary.pass(deployment, "open");
    else throw error;
  }

  #aborted(deployment: Deployment, { reason }: AbortSignal): MeshError {
    const failure =
      reason instanceof Failure
        ? reason
        : new Failure("aborted", "the caller gave up.", { cause: reason });
    return failure.toMeshError(deployment.id);
  }
}

/** opossum's word for a breaker that lets nothing through: another call was faster. */
function isRefusal(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EOPENBREAKER";
}
