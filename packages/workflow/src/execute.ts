import { MeshError, backoffMs, isMeshError, toMeshError, type WireError } from "@plexus/core";
import { z } from "zod";
import { checkInput, outputOf, route, startView } from "./boundary.ts";
import type { Cache } from "./cache.ts";
import type { RunEvent } from "./event.ts";
import { ExecutionContext, type Surroundings } from "./execution-context.ts";
import type { Located } from "./look.ts";
import type { Exits, NodePlan, Plan } from "./plan.ts";
import type { Target, TaskResult, Undo } from "./run.ts";
import { initialValues } from "./schedule.ts";
import { childOf } from "./task.ts";
import { checkWrites, commandOf, publicValues, readReturn, viewAfter, viewOf } from "./view.ts";

/** What all executions of a process share. */
export interface Host {
  readonly cache: Cache;
  now(): number;
  random(): number;
}

const COMPENSATION_RETRY = {
  attempts: 3,
  backoff: { firstMs: 200, maxMs: 30_000, factor: 2 },
  when: () => true,
};

type Outcome = Extract<RunEvent, { task: string }>;

/** Errors as they were thrown, by what is recorded of them: for whoever waits in this process. */
const thrown = new WeakMap<WireError, MeshError>();

/** The error that a run has recorded; with its cause, if it happened in this process. */
export function originalError(error: WireError): MeshError | undefined {
  return thrown.get(error);
}

/** One attempt at a task. Ends with the event that tells what became of it. */
export class Execution {
  readonly #id: string;
  readonly #located: Located;
  readonly #host: Host;
  readonly #context: ExecutionContext;

  constructor(id: string, located: Located, host: Host, around: Surroundings) {
    this.#id = id;
    this.#located = located;
    this.#host = host;
    this.#context = new ExecutionContext(located.task.node, id, located.task, around);
  }

  abort(reason: MeshError): void {
    this.#context.abort(reason);
  }

  /** At once, if the node is not asynchronous. Never throws. */
  run(): Outcome | Promise<Outcome> {
    const { plan, task } = this.#located;
    if (task.undoes !== undefined) return this.#compensate(plan, task.undoes);
    const node = plan.nodes.get(task.node)!;
    if (node.nested === undefined) return this.#function(node);
    return task.state.is === "leaving" ? this.#leave(node) : this.#enter(node);
  }

  #function(node: NodePlan): Outcome | Promise<Outcome> {
    try {
      const input = this.#input(node);
      if (node.cache !== undefined) return this.#cached(node, input);
      const returned = this.#bounded(node, () => node.run!(input, this.#context));
      if (returned instanceof Promise) return this.#finishLater(node, returned);
      return this.#finish(node, returned);
    } catch (error) {
      return this.#ended(node, error);
    }
  }

  async #finishLater(node: NodePlan, returned: Promise<unknown>): Promise<Outcome> {
    try {
      return await this.#finish(node, await returned);
    } catch (error) {
      return this.#ended(node, error);
    }
  }

  #finish(node: NodePlan, returned: unknown): Outcome | Promise<Outcome> {
    if (this.#context.wait !== undefined) return this.#waits();
    const result = this.#result(node, returned);
    if (!(result instanceof Promise)) return this.#done(result);
    return result.then(
      (value): Outcome => this.#done(value),
      (error: unknown) => this.#ended(node, error),
    );
  }

  #result(node: NodePlan, returned: unknown): TaskResult | Promise<TaskResult> {
    const { plan } = this.#located;
    const { update, goto, handoff } = readReturn(node, returned);
    if (handoff !== undefined && !this.#id.includes("/")) {
      throw new MeshError(
        "INVALID_OUTPUT",
        `Node ${node.name} directs the graph around it, and there is none.`,
      );
    }
    const writes = checkWrites(plan, `Node ${node.name}`, update, node);
    const undo = node.compensate && { undo: update ?? {} };
    if (handoff !== undefined) return { writes, goto, ...undo, handoff };
    if (node.routes.length === 0) return { writes, goto, ...undo };
    const { values } = this.#located.run;
    const routed = this.#route(node, node.name, () => viewAfter(plan, node, values, writes));
    if (!(routed instanceof Promise)) return { writes, goto: [...goto, ...routed], ...undo };
    return routed.then((targets) => ({ writes, goto: [...goto, ...targets], ...undo }));
  }

  #route(exits: Exits, from: string, view: () => unknown): Target[] | Promise<Target[]> {
    return route(exits, from, view, this.#context);
  }

  #input(node: NodePlan): unknown {
    const { plan, run, task } = this.#located;
    const given = task.sent === undefined ? viewOf(plan, node, run.values) : task.sent.input;
    if (node.input === undefined) return given;
    const parsed = node.input.safeParse(given);
    if (!parsed.success) {
      throw new MeshError(
        "INVALID_INPUT",
        `its input does not match: ${z.prettifyError(parsed.error)}`,
      );
    }
    if (node.privates.size === 0) return parsed.data;
    const view = viewOf(plan, node, run.values);
    const own = [...node.privates.keys()].map((name) => [name, view[name]]);
    return { ...(parsed.data as object), ...Object.fromEntries(own) };
  }

  async #cached(node: NodePlan, input: unknown): Promise<Outcome> {
    const cache = node.cache!;
    try {
      const address = `${this.#located.plan.hash}/${node.name}/${cache.key(input)}`;
      const hit = await orNothing(() => this.#host.cache.get(address));
      if (hit !== undefined) return await this.#finish(node, hit.value);
      this.#context.signal.throwIfAborted();
      const returned = await this.#bounded(node, () => node.run!(input, this.#context));
      const outcome = await this.#finish(node, returned);
      // A command holds Sends, which do not travel; and nothing is kept of a node that waits.
      const { update = {}, goto, handoff } = readReturn(node, returned);
      if (outcome.type === "done" && goto.length === 0 && handoff === undefined) {
        await orNothing(() => this.#host.cache.set(address, update, cache.ttlMs));
      }
      return outcome;
    } catch (error) {
      return this.#ended(node, error);
    }
  }

  /** With the attempt's timeout. */
  #bounded(node: Pick<NodePlan, "name" | "timeoutMs">, work: () => unknown): unknown {
    const { timeoutMs } = node;
    const given = work();
    const returned = isThenable(given) ? this.#withEffects(Promise.resolve(given)) : given;
    if (timeoutMs === Infinity || !(returned instanceof Promise)) return returned;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const error = new MeshError("TIMEOUT", `it has not ended within ${timeoutMs} ms`);
        this.#context.abort(error);
        reject(error);
      }, timeoutMs);
    });
    return Promise.race([returned, late]).finally(() => clearTimeout(timer));
  }

  /** What fails or waits has ended when the effects that it has begun have: the next attempt would repeat them. */
  #withEffects(returned: Promise<unknown>): Promise<unknown> {
    return returned.catch(async (error: unknown) => {
      await this.#context.effectsEnded();
      throw error;
    });
  }

  #done(result: TaskResult): Outcome {
    return { type: "done", task: this.#id, node: this.#located.task.node, result };
  }

  #waits(): Outcome {
    const { wait, answered } = this.#context;
    return { type: "waits", task: this.#id, wait: wait!, answered };
  }

  async #enter(node: NodePlan): Promise<Outcome> {
    const nested = node.nested!;
    const { plan } = nested;
    try {
      const given = nested.input(this.#input(node));
      const writes = checkInput(plan, given);
      const values = initialValues(plan);
      const goto = await this.#route(plan.start, plan.name, () => startView(plan, values, writes));
      return { type: "enters", task: this.#id, writes, goto };
    } catch (error) {
      return this.#ended(node, error);
    }
  }

  async #leave(node: NodePlan): Promise<Outcome> {
    const nested = node.nested!;
    const child = childOf(this.#located.task)!;
    try {
      if (child.status === "failed") {
        throw originalError(child.error!) ?? toError(child.error!);
      }
      if (child.handoff !== undefined) return await this.#finish(node, commandOf(child.handoff));
      const result = outputOf(nested.plan, child.values);
      const around = publicValues(this.#located.plan, this.#located.run.values);
      return await this.#finish(node, nested.output(result, around));
    } catch (error) {
      return this.#ended(node, error);
    }
  }

  async #compensate(plan: Plan, { path, update }: Undo): Promise<Outcome> {
    const node = nodeAt(plan, path);
    try {
      if (node?.compensate === undefined) {
        throw new MeshError("GRAPH_CHANGED", `Node ${path.join("/")} cannot be undone any more.`);
      }
      const { compensate } = node;
      await this.#bounded(node, () => compensate(update, this.#context));
      if (this.#context.wait !== undefined) return this.#waits();
      return this.#done({ writes: {}, goto: [] });
    } catch (error) {
      if (this.#context.wait !== undefined) return this.#waits();
      return this.#failed(error, node?.retry ?? COMPENSATION_RETRY);
    }
  }

  /** The node has thrown: because it waits, or because it failed. */
  #ended(node: NodePlan, error: unknown): Outcome | Promise<Outcome> {
    if (this.#context.wait !== undefined) return this.#waits();
    const failed = this.#failed(error, node.retry);
    if (failed.retryAt !== undefined || node.tolerance === undefined) return failed;
    try {
      const sent = this.#located.task.sent?.input;
      const update = node.tolerance.instead(originalError(failed.error), sent);
      const instead = this.#result({ ...node, compensate: undefined }, update);
      if (!(instead instanceof Promise)) return { ...failed, instead };
      return instead.then(
        (value): Outcome => ({ ...failed, instead: value }),
        (worse: unknown) => this.#failed(worse, undefined),
      );
    } catch (worse) {
      return this.#failed(worse, undefined);
    }
  }

  #failed(error: unknown, retry: NodePlan["retry"]): Extract<RunEvent, { type: "failed" }> {
    const { task } = this.#located;
    const described = describe(task.node, error);
    const wire = described.toJSON();
    thrown.set(wire, described);
    const attempt = task.attempt - (task.before ?? 0);
    let again = false;
    try {
      again = retry !== undefined && attempt < retry.attempts && retry.when(error);
    } catch (worse) {
      return this.#failed(worse, undefined);
    }
    return {
      type: "failed",
      task: this.#id,
      node: task.node,
      error: wire,
      ...(again && retry !== undefined
        ? {
            retryAt:
              this.#host.now() +
              Math.ceil(backoffMs(retry.backoff, attempt, () => this.#host.random())),
          }
        : {}),
    };
  }
}

/** A cache that does not work is as good as none; what is due is executed. */
async function orNothing<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch {
    return undefined;
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}

function nodeAt(plan: Plan, path: readonly string[]): NodePlan | undefined {
  const [first = "", ...rest] = path;
  const node = plan.nodes.get(first);
  if (rest.length === 0 || node === undefined) return node;
  return node.nested && nodeAt(node.nested.plan, rest);
}

function describe(node: string, error: unknown): MeshError {
  const { code, message, retryable, details } = toMeshError(error);
  const cause = isMeshError(error) ? (error.cause ?? error) : error;
  const told = message.startsWith(`Node ${node}`) ? message : `Node ${node}: ${message}`;
  return new MeshError(code, told, { cause, retryable, details });
}

function toError({ message, details }: WireError): MeshError {
  return new MeshError("AGENT_FAILED", message, { details });
}
