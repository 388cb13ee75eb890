import { MeshError, toMs, type Duration } from "@plexus/core";
import { z } from "zod";
import type { NodeContext } from "./context.ts";
import type { Task, Wait } from "./run.ts";

/** Thrown through a node that has to wait. Whoever catches it by accident changes nothing: the wait is noted already. */
class Suspension extends Error {
  override readonly name = "Suspension";
}

/** What an execution needs of the process it is in. */
export interface Surroundings {
  readonly thread: string;
  readonly run: string;
  readonly step: number;
  readonly visits: number;
  now(): number;
  /** Records the result of an effect; resolves when it is safe. */
  note(name: string, value: unknown): Promise<void>;
  tell(mode: "custom" | "tokens", value: unknown): void;
}

/** The context of one attempt. */
export class ExecutionContext implements NodeContext {
  readonly node: string;
  readonly #id: string;
  readonly #task: Task;
  readonly #around: Surroundings;
  readonly #names = new Set<string>();
  readonly #effects = new Set<Promise<unknown>>();
  #controller: AbortController | undefined;
  #aborted: MeshError | undefined;
  #op = 0;
  /** What this attempt has taken as answers. */
  readonly answered: unknown[] = [];
  /** Why the node cannot go on. */
  wait: Wait | undefined;

  constructor(node: string, id: string, task: Task, around: Surroundings) {
    this.node = node;
    this.#id = id;
    this.#task = task;
    this.#around = around;
  }

  get thread(): string {
    return this.#around.thread;
  }

  get run(): string {
    return this.#around.run;
  }

  get step(): number {
    return this.#around.step;
  }

  get visits(): number {
    return this.#around.visits;
  }

  get attempt(): number {
    return this.#task.attempt;
  }

  get execution(): string {
    return `${this.#around.thread}/${this.#around.run}/${this.#id}`;
  }

  // Made when it is asked for: most nodes never do.
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted);
    }
    return this.#controller.signal;
  }

  abort(reason: MeshError): void {
    this.#aborted ??= reason;
    this.#controller?.abort(reason);
  }

  interrupt<Answer = unknown>(question: unknown, schema?: z.ZodType<Answer>): Answer {
    return this.#await(
      (op, problem) => ({
        kind: "interrupt",
        op,
        value: question,
        ...(problem === undefined ? {} : { problem }),
      }),
      (offer) => {
        if (!("value" in offer)) return { refused: undefined };
        if (schema === undefined) return { answer: offer.value as Answer };
        const parsed = schema.safeParse(offer.value);
        return parsed.success
          ? { answer: parsed.data }
          : { refused: z.prettifyError(parsed.error) };
      },
    );
  }

  sleep(duration: Duration): void {
    const until = this.#around.now() + toMs(duration);
    this.#await(
      (op) => ({ kind: "time", op, until }),
      () => ({ answer: null }),
    );
  }

  waitFor<Value = unknown>(
    name: string,
    options: { readonly when?: (value: Value) => boolean; readonly timeout?: Duration } = {},
  ): Value | undefined {
    const { when, timeout } = options;
    const offered = this.#task.offer;
    const first = timeout === undefined ? undefined : this.#around.now() + toMs(timeout);
    const until =
      (offered !== undefined && "until" in offered ? offered.until : undefined) ?? first;
    const taken = this.#await<{ value?: Value }>(
      (op) => ({ kind: "event", op, name, ...(until === undefined ? {} : { until }) }),
      (offer) => {
        if (!("value" in offer)) return { answer: {} };
        const value = offer.value as Value;
        return when === undefined || when(value) ? { answer: { value } } : { refused: undefined };
      },
    );
    return taken.value;
  }

  async until(
    condition: () => boolean | Promise<boolean>,
    options: { readonly every?: Duration } = {},
  ): Promise<void> {
    const op = this.#op++;
    if (op < this.#task.answers.length) return;
    if (this.wait === undefined && (await condition())) {
      this.answered.push(null);
      return;
    }
    this.#suspend({ kind: "time", op, until: this.#around.now() + toMs(options.every ?? "1s") });
  }

  async effect<Value>(name: string, run: (key: string) => Value | Promise<Value>): Promise<Value> {
    if (this.#aborted !== undefined) throw this.#aborted;
    if (this.#names.has(name)) {
      throw new MeshError(
        "DUPLICATE",
        `Effect ${name} is in this execution already; each needs a name of its own.`,
      );
    }
    this.#names.add(name);
    const { effects, voids = [] } = this.#task;
    if (Object.hasOwn(effects, name) || voids.includes(name)) return effects[name] as Value;
    const effect = this.#carryOut(name, run);
    this.#effects.add(effect);
    const forget = (): boolean => this.#effects.delete(effect);
    effect.then(forget, forget);
    return effect;
  }

  async #carryOut<Value>(name: string, run: (key: string) => Value | Promise<Value>) {
    const value = await run(`${this.execution}:${name}`);
    await this.#around.note(name, value);
    return value;
  }

  /** Resolves when the effects that this attempt has begun have been recorded, or have failed. */
  async effectsEnded(): Promise<void> {
    while (this.#effects.size > 0) await Promise.allSettled(this.#effects);
  }

  emit(value: unknown): void {
    this.#around.tell("custom", value);
  }

  token(text: string): void {
    this.#around.tell("tokens", text);
  }

  /** The answer of an earlier attempt, or what is offered now if it is taken; else the node is suspended. */
  #await<Answer>(
    waitFor: (op: number, problem?: string) => Wait,
    take: (
      offer: NonNullable<Task["offer"]>,
    ) => { readonly answer: Answer } | { readonly refused: string | undefined },
  ): Answer {
    const op = this.#op++;
    const { answers, offer } = this.#task;
    if (op < answers.length) return answers[op] as Answer;
    // An offer answers the wait that the task was suspended on: the first one without an answer.
    if (op > answers.length || offer === undefined) return this.#suspend(waitFor(op));
    const taken = take(offer);
    if ("refused" in taken) return this.#suspend(waitFor(op, taken.refused));
    this.answered.push(taken.answer);
    return taken.answer;
  }

  #suspend(wait: Wait): never {
    this.wait ??= wait;
    throw new Suspension(`node ${this.node} waits`);
  }
}
