import { MeshError } from "@plexus/core";
import { newId } from "./id.ts";
import type {
  LangGraphChunk,
  LangGraphMode,
  LangGraphResume,
  LangGraphState,
} from "./langgraph-contract.ts";
import { toPlain } from "./langgraph-data.ts";
import { toCoded } from "./langgraph-errors.ts";

/** A compiled LangGraph.js graph, as far as it matters here: what `new StateGraph(…).compile()` returns. */
export interface LangGraph {
  /** `undefined` or `false`: without one, nothing can be resumed. */
  readonly checkpointer?: unknown;
  readonly outputChannels: unknown;
  stream(input: unknown, config: object): Promise<AsyncIterable<unknown>>;
  getState(config: { readonly configurable: object }): Promise<Snapshot>;
}

interface Question {
  readonly id?: string;
  readonly value?: unknown;
}

interface Snapshot {
  readonly values: unknown;
  readonly next: readonly string[];
  readonly config: { readonly configurable?: Readonly<Record<string, unknown>> };
  readonly createdAt?: string;
  readonly tasks: readonly Task[];
}

interface Task {
  readonly id: string;
  readonly name: string;
  readonly error?: unknown;
  readonly interrupts: readonly Question[];
}

/** A checkpointer, as far as it matters here. */
interface Saver {
  getTuple(config: object): Promise<{ readonly pendingWrites?: readonly Write[] } | undefined>;
}

/** What a task of a step that has not ended has written, or has been answered. */
type Write = readonly [task: string, channel: string, value: unknown];

/** How a host runs its graph. */
export interface LangGraphOptions {
  /** Steps of a run. Callers may ask for fewer. Default: what callers ask for, else LangGraph's 25. */
  readonly recursionLimit?: number;
  /** What every run is configured with besides: `context`, `tags`, `metadata`, `store`, … */
  readonly config?: Readonly<Record<string, unknown>>;
}

/** What is used of a handler's context. */
export interface Call {
  readonly signal: AbortSignal;
}

/** What of a run its caller wants to see. */
export interface Watched {
  readonly mode?: LangGraphMode | readonly LangGraphMode[] | undefined;
  readonly subgraphs?: boolean | undefined;
}

/** A call that begins a run. */
export interface StartRequest extends Watched {
  readonly input: unknown;
  readonly thread?: string | undefined;
  readonly recursionLimit?: number | undefined;
}

/** A call that reads a thread. */
export interface StateRequest {
  readonly thread: string;
  readonly checkpoint?: string | undefined;
}

/** What LangGraph tells of several modes: from which subgraph, in which mode, and what. */
type Item = [path: string[], mode: LangGraphMode, data: unknown];

const INTERRUPT = "__interrupt__";
/** What is written of a task that has not ended. */
const NOT_ENDED: ReadonlySet<string> = new Set([
  INTERRUPT,
  "__resume__",
  "__error__",
  "__scheduled__",
]);

/** The runs of a host's graph, one at a time on each thread: LangGraph itself would let two of them overwrite each other's checkpoints. */
export class LangGraphRuns {
  readonly #name: string;
  readonly #graph: LangGraph;
  readonly #options: LangGraphOptions;
  readonly #busy = new Set<string>();

  constructor(name: string, graph: LangGraph, options: LangGraphOptions) {
    this.#name = name;
    this.#graph = graph;
    this.#options = options;
  }

  start(request: StartRequest, call: Call): AsyncGenerator<LangGraphChunk, unknown> {
    const { input, thread = newId() } = request;
    return this.#run(thread, request, call, () => demandInput(input));
  }

  resume(request: LangGraphResume & Watched, call: Call): AsyncGenerator<LangGraphChunk, unknown> {
    return this.#run(request.thread, request, call, () => this.#answer(request));
  }

  async state(thread: string, checkpoint?: string): Promise<LangGraphState> {
    const snapshot = await this.#snapshot(thread, checkpoint);
    const { config, createdAt, values, tasks, next } = snapshot;
    // A checkpoint that others follow is told as it was, before anything of its step had ended.
    const due = checkpoint === undefined ? await this.#due(snapshot) : tasks;
    return {
      thread,
      checkpoint: String(config.configurable?.["checkpoint_id"]),
      ...(createdAt === undefined ? {} : { at: createdAt }),
      values: toPlain(values),
      next: checkpoint === undefined ? due.map(({ name }) => name) : [...next],
      interrupts: openIn(due),
    };
  }

  async *#run(
    thread: string,
    { mode = [], subgraphs = false, recursionLimit }: Omit<StartRequest, "input">,
    { signal }: Call,
    begin: () => unknown,
  ): AsyncGenerator<LangGraphChunk, unknown> {
    if (this.#busy.has(thread)) {
      throw new MeshError("CONFLICT", `A run of ${this.#name} is under way on thread ${thread}.`);
    }
    this.#busy.add(thread);
    try {
      const input = await begin();
      const wanted: ReadonlySet<string> = new Set([mode].flat());
      const stream = await this.#graph.stream(input, {
        ...this.#options.config,
        ...this.#limit(recursionLimit),
        configurable: { ...this.#configurable, thread_id: thread },
        streamMode: [...new Set([...wanted, "values"])],
        subgraphs,
        signal,
      });
      let values: unknown;
      let asked: unknown[] | undefined;
      for await (const item of stream) {
        const [path, kind, data] = (subgraphs ? item : [[], ...(item as unknown[])]) as Item;
        if (wanted.has(kind)) yield { mode: kind, path, data: toPlain(data) };
        if (kind !== "values" || path.length > 0) continue;
        const open = isRecord(data) ? data[INTERRUPT] : undefined;
        if (Array.isArray(open)) (asked ??= []).push(...open);
        else values = data;
      }
      if (asked === undefined) return { status: "completed", thread, output: this.#output(values) };
      const interrupts = questionsOf(asked as Question[]);
      return { status: "waiting", thread, values: toPlain(values) ?? {}, interrupts };
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      throw toCoded(error, thread, await this.#culprit(thread));
    } finally {
      this.#busy.delete(thread);
    }
  }

  /** What LangGraph takes for a resumption. Answers name their interrupt: others that are false or empty would be lost there. */
  async #answer({ thread, resume, interrupt }: LangGraphResume): Promise<unknown> {
    const due = await this.#due(await this.#snapshot(thread));
    const open = openIn(due);
    if (resume === undefined) {
      if (due.length > 0) return null;
      throw new MeshError("NO_RUN", `On thread ${thread} there is no run to go on with.`);
    }
    if (open.length === 0) {
      throw new MeshError("NO_RUN", `On thread ${thread} no run waits for an answer.`);
    }
    const ids = open.map(({ id }) => id);
    const which = interrupt ?? (ids.length === 1 ? ids[0] : undefined);
    if (which === undefined || !ids.includes(which)) {
      throw new MeshError(
        "INVALID_INPUT",
        `The run on thread ${thread} waits for ${ids.length} answers: say which one, by interrupt: ${ids.join(", ")}.`,
        { details: { interrupts: ids } },
      );
    }
    return { lg_name: "Command", resume: { [which]: resume } };
  }

  async #snapshot(thread: string, checkpoint?: string): Promise<Snapshot> {
    const { checkpointer } = this.#graph;
    if (checkpointer === undefined || checkpointer === null || checkpointer === false) {
      throw new MeshError(
        "NO_CAPABILITY",
        `${this.#name} keeps no runs: its graph has no checkpointer.`,
      );
    }
    const snapshot = await this.#graph.getState({
      configurable: {
        ...this.#configurable,
        thread_id: thread,
        ...(checkpoint === undefined ? {} : { checkpoint_id: checkpoint }),
      },
    });
    if (snapshot.createdAt !== undefined) return snapshot;
    const what = checkpoint === undefined ? "" : ` at checkpoint ${checkpoint}`;
    throw new MeshError("NO_RUN", `${this.#name} knows nothing of thread ${thread}${what}.`);
  }

  /**
   * The tasks of the open step that have not ended. LangGraph's own `next` leaves out what was answered and asks once more, has failed or was left since, and its `interrupts` are also of tasks that have ended.
   */
  async #due({ config, tasks }: Snapshot): Promise<readonly Task[]> {
    const stored = await (this.#graph.checkpointer as Saver).getTuple(config);
    const writes = stored?.pendingWrites ?? [];
    const ended = new Set(writes.flatMap(([task, key]) => (NOT_ENDED.has(key) ? [] : [task])));
    return tasks.filter(({ id }) => !ended.has(id));
  }

  /** The node that has failed, if the graph keeps its runs. */
  async #culprit(thread: string): Promise<string | undefined> {
    try {
      const { tasks } = await this.#snapshot(thread);
      return tasks.find(({ error }) => error !== undefined)?.name;
    } catch {
      return undefined; // the error is told without it
    }
  }

  get #configurable(): object {
    return (this.#options.config?.["configurable"] as object | undefined) ?? {};
  }

  #limit(asked = Infinity): { readonly recursionLimit?: number } {
    const recursionLimit = Math.min(asked, this.#options.recursionLimit ?? Infinity);
    return recursionLimit === Infinity ? {} : { recursionLimit };
  }

  #output(values: unknown): unknown {
    const { outputChannels } = this.#graph;
    if (!Array.isArray(outputChannels) || !isRecord(values)) return toPlain(values);
    const known = outputChannels.filter((key: string) => values[key] !== undefined);
    return Object.fromEntries(known.map((key: string) => [key, toPlain(values[key])]));
  }
}

/** A caller begins runs, and does not direct them: LangGraph would take a Command for one, and nothing for a resumption. */
function demandInput(input: unknown): unknown {
  if (input === undefined || input === null || (isRecord(input) && "lg_name" in input)) {
    throw new MeshError(
      "INVALID_INPUT",
      "A run begins with an input that is data, and no command.",
    );
  }
  return input;
}

function openIn(due: readonly Task[]): { id: string; value: unknown }[] {
  return questionsOf(due.flatMap(({ interrupts }) => interrupts));
}

function questionsOf(interrupts: readonly Question[]): { id: string; value: unknown }[] {
  return interrupts.map(({ id = "", value }) => ({ id, value: toPlain(value) ?? null }));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
