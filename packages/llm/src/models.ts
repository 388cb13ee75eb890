import { MeshError, isMeshError, toTimerMs } from "@plexus/core";
import type { z } from "zod";
import { usd } from "./amount.ts";
import { AnswerStream } from "./answer-stream.ts";
import { toRequest, type Answer, type Ask, type CallOptions } from "./answer.ts";
import { gaveUp } from "./attempt.ts";
import { Budgets, type BudgetAlert, type BudgetOptions } from "./budgets.ts";
import { Cache, type CacheOptions } from "./cache.ts";
import { digest } from "./canonical.ts";
import { Deployment } from "./deployment.ts";
import { environmentGroups } from "./environment.ts";
import { Failure } from "./failure.ts";
import type { Fleet } from "./fleet.ts";
import { checkGroups, type Group, type GroupSpec } from "./group.ts";
import { Health } from "./health.ts";
import { LlmMetrics } from "./llm-metrics.ts";
import { localFleet } from "./local-fleet.ts";
import { silentLog, type Log } from "./log.ts";
import type { ModelReply, ModelRequest } from "./model.ts";
import { pricing, type Pricing } from "./price.ts";
import { RateLimit } from "./rate-limit.ts";
import { Route, type Call, type Check } from "./route.ts";
import { check, jsonSchema, repairRequest } from "./structured.ts";
import { Bill, Till } from "./till.ts";
import { runTools, type LoopAnswer, type LoopAsk, type LoopOptions } from "./tool-loop.ts";
import { UsageLedger } from "./usage-ledger.ts";

/** Options of {@link openModels}. */
export interface ModelsOptions {
  /** What is shared with other processes: a mesh. Default: nothing is shared. */
  readonly fleet?: Fleet;
  /** Models by group. Default: what the environment names (PLEXUS_LLM_BASE_URL, PLEXUS_LLM_MODEL, PLEXUS_LLM_API_KEY). */
  readonly groups?: Readonly<Record<string, GroupSpec>>;
  /** Which group an agent's role uses. Default: the group of that name, else `default`. */
  readonly roles?: Readonly<Record<string, string>>;
  readonly budgets?: BudgetOptions;
  readonly cache?: CacheOptions;
  /** The longest answer, in tokens, if a call does not say. It is reserved before the call. Default 4,096. */
  readonly maxTokens?: number;
  readonly onBudgetAlert?: (alert: BudgetAlert) => void;
  readonly log?: Log;
}

/** Models to ask, with everything that can go wrong taken care of. Disposing it records what was spent. */
export interface Models extends AsyncDisposable {
  /** A text, or tool calls. `role` is an agent's name, or a group's. */
  generate(role: string, ask: Ask | string, options?: CallOptions): Promise<Answer>;
  /** A value that matches a zod schema; an answer that does not is repaired once. */
  object<S extends z.ZodType>(
    role: string,
    ask: (Omit<Ask, "schema"> & { readonly prompt: string }) & { readonly schema: S },
    options?: CallOptions,
  ): Promise<Answer & { readonly object: z.output<S> }>;
  /** A text as it comes. */
  stream(role: string, ask: Ask | string, options?: CallOptions): AnswerStream;
  /** Lets a model call tools until it has an answer. */
  run(role: string, ask: LoopAsk, options?: LoopOptions): Promise<LoopAnswer>;
}

/** Opens the model layer. Rejects with `INVALID_CONTRACT`, or with `NOT_CONNECTED` when the fleet's broker is away. */
export async function openModels(options: ModelsOptions = {}): Promise<Models> {
  const models = new OpenModels(options);
  try {
    await models.open();
  } catch (error) {
    await models[Symbol.asyncDispose]();
    throw error;
  }
  return models;
}

const DEFAULT_TIMEOUT = "60s";

class OpenModels implements Models {
  readonly #groups = new Map<string, Group>();
  readonly #roles: Readonly<Record<string, string>>;
  readonly #deployments: Deployment[];
  readonly #prices = new Map<Deployment, Pricing>();
  readonly #limits = new Map<Deployment, RateLimit>();
  readonly #health: Health;
  readonly #budgets: Budgets;
  readonly #usage: UsageLedger;
  readonly #cache: Cache;
  readonly #metrics: LlmMetrics;
  readonly #route: Route;
  readonly #closing = new AbortController();
  /** Calls under way: what they come to is recorded before everything ends. */
  readonly #running = new Set<Promise<unknown>>();

  constructor(options: ModelsOptions) {
    const { fleet = localFleet(), log = silentLog, maxTokens = 4_096 } = options;
    const specs = options.groups ?? environmentGroups(process.env);
    checkGroups(specs);
    this.#roles = options.roles ?? {};
    const byId = new Map<string, Deployment>();
    for (const [name, spec] of Object.entries(specs)) {
      const deployments = spec.deployments.map((one) => {
        const id = one.id ?? one.model;
        if (!byId.has(id)) byId.set(id, new Deployment(one));
        return byId.get(id)!;
      });
      this.#groups.set(name, {
        name,
        deployments,
        strategy: spec.strategy ?? "weighted",
        fallback: spec.fallback ?? [],
        attempts: spec.attempts ?? 3,
        hedgeMs: spec.hedge === undefined ? undefined : toTimerMs(spec.hedge),
        timeoutMs: toTimerMs(spec.timeout ?? DEFAULT_TIMEOUT),
      });
    }
    this.#deployments = [...byId.values()];
    const metrics = new LlmMetrics(fleet);
    this.#metrics = metrics;
    for (const { id, breaker } of this.#deployments) {
      metrics.breaker(id, "closed");
      breaker.onChange((state) => metrics.breaker(id, state));
    }
    this.#health = new Health(fleet, this.#deployments, log);
    this.#budgets = new Budgets(fleet, options.budgets ?? {}, (alert) => {
      metrics.alert(alert.threshold);
      log.warn(alert, "a budget's threshold was crossed");
      options.onBudgetAlert?.(alert);
    });
    this.#usage = new UsageLedger(fleet);
    this.#cache = new Cache(fleet, options.cache ?? {});
    const limited = this.#deployments.filter(({ spec }) => spec.rpm ?? spec.tpm);
    const bucket = limited.length === 0 ? undefined : fleet.bucket("rates", { storage: "memory" });
    for (const deployment of limited) {
      this.#limits.set(deployment, new RateLimit(bucket!, deployment.sharedKey, deployment.spec));
    }
    const till = new Till({
      budgets: this.#budgets,
      prices: this.#prices,
      limits: this.#limits,
      metrics,
      usage: this.#usage,
      maxTokens,
    });
    this.#route = new Route({
      groups: this.#groups,
      health: this.#health,
      limits: this.#limits,
      till,
      random: Math.random,
      log,
    });
  }

  async open(): Promise<void> {
    await Promise.all([
      this.#health.open(),
      ...this.#deployments.map(async (deployment) => {
        const [cost] = await Promise.all([pricing(deployment.spec), deployment.load()]);
        this.#prices.set(deployment, cost);
        const limit = this.#limits.get(deployment);
        await limit?.open();
        deployment.know({ cost, ...(limit ? { headroom: () => limit.headroom } : {}) });
      }),
    ]);
  }

  async generate(role: string, ask: Ask | string, options: CallOptions = {}): Promise<Answer> {
    return this.#ask(role, toRequest(ask), options);
  }

  async object<S extends z.ZodType>(
    role: string,
    ask: Omit<Ask, "schema"> & { readonly schema: S },
    options: CallOptions = {},
  ): Promise<Answer & { readonly object: z.output<S> }> {
    const { schema, ...rest } = ask;
    const request = { ...toRequest(rest), schema: jsonSchema(schema) };
    const checking: Check = (reply) => {
      const checked = check(schema, reply.text);
      return "value" in checked ? undefined : repairRequest(request, reply, checked.problem);
    };
    const answer = await this.#ask(role, request, options, checking);
    const checked = check(schema, answer.text);
    if ("value" in checked) return { ...answer, object: checked.value as z.output<S> };
    throw new MeshError("INVALID_OUTPUT", `A cached answer does not match: ${checked.problem}`);
  }

  stream(role: string, ask: Ask | string, options: CallOptions = {}): AnswerStream {
    const group = this.#group(role);
    const { call, end } = this.#call(role, group, options);
    const parts = this.#route.stream(group.name, toRequest(ask), call);
    return new AnswerStream(parts, call.bill, (outcome) => {
      end();
      this.#metrics.call(group.name, outcome);
    });
  }

  run(role: string, ask: LoopAsk, options: LoopOptions = {}): Promise<LoopAnswer> {
    return runTools(this, role, ask, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Failure("aborted", "the model layer is closing."));
    await Promise.allSettled(this.#running);
    for (const limit of this.#limits.values()) limit.close();
    for (const deployment of this.#deployments) deployment.dispose();
    await Promise.allSettled([
      this.#cache.settle(),
      this.#budgets.close(),
      this.#usage.flush(),
      this.#health.close(),
    ]);
  }

  async #ask(
    role: string,
    request: ModelRequest,
    options: CallOptions,
    checking?: Check,
  ): Promise<Answer> {
    const asked = this.#askNow(role, request, options, checking);
    this.#running.add(asked);
    try {
      return await asked;
    } finally {
      this.#running.delete(asked);
    }
  }

  async #askNow(
    role: string,
    request: ModelRequest,
    options: CallOptions,
    checking: Check | undefined,
  ): Promise<Answer> {
    const group = this.#group(role);
    const { call, end } = this.#call(role, group, options);
    const ask = async () => {
      const { reply, deployment } = await this.#route.generate(group.name, request, call, checking);
      return { reply, model: deployment.id };
    };
    try {
      const cacheable = options.cache ?? request.temperature === 0;
      let found: { reply: ModelReply; model: string };
      let cache: Answer["cache"];
      if (cacheable) {
        const patienceMs = call.untilMs - performance.now();
        const cached = await this.#cache.get(this.#cacheKey(group, request), ask, {
          patienceMs,
          signal: call.signal,
        });
        ({ value: found, outcome: cache } = cached);
        this.#metrics.cache(cached.outcome);
      } else found = await ask();
      this.#metrics.call(group.name, "ok");
      const { text, toolCalls, finishReason } = found.reply;
      const { bill } = call;
      return {
        text,
        toolCalls,
        finishReason,
        model: found.model,
        usage: bill.usage,
        costUsd: usd(bill.nanoUsd),
        attempts: bill.attempts,
        ...(cache === undefined ? {} : { cache }),
      };
    } catch (error) {
      const gone = call.signal.aborted && !isMeshError(error) ? gaveUp(call.signal) : error;
      const told = gone instanceof Failure ? gone.toMeshError(group.name) : gone;
      this.#metrics.call(group.name, isMeshError(told) ? told.code : "AGENT_FAILED");
      throw told;
    } finally {
      end();
    }
  }

  /** Models that can stand in for each other may answer for each other. */
  #cacheKey(group: Group, request: ModelRequest): string {
    const models = group.deployments.map(({ spec }) => [spec.provider, spec.model]);
    return digest({ models, request });
  }

  #group(role: string): Group {
    const name = this.#roles[role] ?? (this.#groups.has(role) ? role : "default");
    const group = this.#groups.get(name);
    if (group !== undefined) return group;
    const known = [...this.#groups.keys()].join(", ");
    throw new MeshError(
      "INVALID_CONTRACT",
      `Role ${role} has no models: there is no group ${name}, only ${known}.`,
    );
  }

  #call(role: string, group: Group, options: CallOptions): { call: Call; end: () => void } {
    const { timeout, agent = role, tenant, run, confirm = false, idempotencyKey } = options;
    const timeoutMs = timeout === undefined ? group.timeoutMs : toTimerMs(timeout);
    const deadline = new AbortController();
    const timer = setTimeout(
      () => deadline.abort(new Failure("deadline", `no answer within ${timeoutMs} ms in all.`)),
      timeoutMs,
    );
    const signals = [deadline.signal, this.#closing.signal];
    const call: Call = {
      signal: AbortSignal.any(options.signal ? [options.signal, ...signals] : signals),
      untilMs: performance.now() + timeoutMs,
      scope: {
        agent,
        ...(tenant === undefined ? {} : { tenant }),
        ...(run === undefined ? {} : { run }),
      },
      bill: new Bill(),
      confirm,
      ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    };
    return { call, end: () => clearTimeout(timer) };
  }
}
