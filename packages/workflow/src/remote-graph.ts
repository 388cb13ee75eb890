import {
  MeshError,
  fromWireError,
  isMeshError,
  toMs,
  type Checkpointer,
  type Duration,
  type Entity,
} from "@plexus/core";
import { outputOf } from "./boundary.ts";
import { Command } from "./command.ts";
import { CompiledGraph } from "./compiled-graph.ts";
import type { InvokeOptions, RunResult } from "./graph-options.ts";
import {
  GraphStreams,
  graphContract,
  type GraphCommands,
  type GraphDescription,
  type Standing,
  type Watcher,
} from "./graph-contract.ts";
import type { GraphMesh } from "./graph-port.ts";
import type { StateSnapshot } from "./history.ts";
import { newId } from "./id.ts";
import { interruptsOf, type Interrupt } from "./interrupt.ts";
import { barePlan } from "./skeleton.ts";
import { RunStream, type StreamItem, type StreamMode } from "./stream.ts";
import { readThread } from "./thread.ts";
import { publicValues } from "./view.ts";

/** How one call on a remote graph goes about it. */
export interface RemoteOptions extends Omit<InvokeOptions, "listener"> {
  /** How long to wait for the run; it goes on when that is over. Default: as long as it takes. */
  readonly timeout?: Duration;
  /** Ends the waiting, and not the run: it goes on. The call rejects with the reason. */
  readonly detach?: AbortSignal;
}

type Answers = {
  readonly [K in keyof GraphCommands]: (
    input: GraphCommands[K],
    options: { readonly id: string; readonly timeout: number; readonly signal?: AbortSignal },
  ) => Promise<unknown>;
};

const WAIT_MS = 10_000; // before the owner says that the run goes on
const UNOWNED_MS = 20_000; // how long a thread may be without an owner
const PATIENCE_MS = 60_000; // how long calls may fail before the last failure is told
const PAUSE_MS = 100;
const MAX_BEHIND = 10_000; // pieces of a stream that its reader has yet to take; further ones are lost
/** What somebody else may do better, or the same one later: calls have ids, so nothing is done twice. */
const PASSING = ["AGENT_LOST", "NOT_CONNECTED", "TIMEOUT"] as const;
const CANCEL_MS = 5_000; // that a caller who gives up waits for the run to be canceled

/**
 * A graph that processes of a mesh host, used as if it were here. What is recorded can be read when nobody hosts it; with its name alone,
 * states with reducers of one's own are told by those who host it, as far as they fit into a message.
 */
export function remoteGraph<Input, Output>(
  mesh: GraphMesh,
  graph: CompiledGraph<Input, Output>,
): RemoteGraph<Input, Output>;
export function remoteGraph(mesh: GraphMesh, graph: string): RemoteGraph;
export function remoteGraph(mesh: GraphMesh, graph: CompiledGraph | string): RemoteGraph {
  return new RemoteGraph(mesh, graph);
}

/** Made by {@link remoteGraph}. */
export class RemoteGraph<Input = unknown, Output = unknown> {
  readonly name: string;
  readonly #mesh: GraphMesh;
  readonly #contract: Entity;
  readonly #store: Checkpointer;
  readonly #graph: CompiledGraph<Input, Output> | undefined;
  readonly #recorded: Pick<CompiledGraph, "getState" | "getStateHistory">;

  constructor(mesh: GraphMesh, graph: CompiledGraph<Input, Output> | string) {
    this.name = typeof graph === "string" ? graph : graph.plan.name;
    this.#mesh = mesh;
    this.#contract = graphContract(this.name);
    this.#store = mesh.threads(this.#contract);
    this.#graph = typeof graph === "string" ? undefined : graph.with({ checkpointer: this.#store });
    this.#recorded =
      this.#graph ?? new CompiledGraph(barePlan(this.name), { checkpointer: this.#store });
  }

  /**
   * As of a local graph: executed by whoever owns the thread, and when that one dies by the next. Rejects with what `invoke` there rejects
   * with, `NO_AGENT` when nobody hosts the graph, `TIMEOUT` when it takes longer than the caller wants to wait.
   */
  async invoke(
    input: Input | Command | null,
    options: RemoteOptions = {},
  ): Promise<RunResult<Output>> {
    return this.#begin(input, options, options.thread ?? newId());
  }

  /** As of a local graph, but pieces are told at most once, while the run is executed: some are lost when its owner dies. */
  stream<const M extends StreamMode>(
    input: Input | Command | null,
    options: RemoteOptions & { readonly mode: M | readonly M[] },
  ): AsyncIterable<StreamItem<M>> & { readonly result: Promise<RunResult<Output>> } {
    const { mode, thread = newId() } = options;
    return this.#streamed(mode, (watcher) => this.#begin(input, options, thread, watcher));
  }

  /** Tells what happens on a thread from now on, until the run is at rest. */
  watch<const M extends StreamMode>(
    thread: string,
    options: { readonly mode: M | readonly M[] } & Pick<RemoteOptions, "signal" | "timeout">,
  ): AsyncIterable<StreamItem<M>> & { readonly result: Promise<RunResult<Output>> } {
    const { mode, signal: detach, timeout } = options;
    const untilMs = timeout === undefined ? Infinity : now() + toMs(timeout);
    const bounds = { detach, untilMs, timeout };
    return this.#streamed(mode, (watcher) => this.#wait(thread, undefined, bounds, watcher));
  }

  /** Tells a run of an event that its nodes wait for, as of a local graph, and waits for what follows. */
  async signal(
    thread: string,
    event: string,
    value: unknown,
    options: Omit<RemoteOptions, "thread"> = {},
  ): Promise<RunResult<Output>> {
    const message = { name: event, value: value ?? null };
    return this.#follow(thread, "signal", message, options);
  }

  /** Cancels the run of a thread, and compensates it. False if nothing was under way. */
  async cancel(thread: string, reason?: string): Promise<boolean> {
    const told = await this.#tell(thread, "cancel", reason === undefined ? {} : { reason });
    return told as boolean;
  }

  /** The state of a thread, now or at a checkpoint. Rejects with `NO_RUN` for an unknown one. */
  async getState(
    thread: string,
    options: { readonly checkpoint?: number } = {},
  ): Promise<StateSnapshot> {
    return this.#read(
      () => this.#recorded.getState(thread, options),
      async () => (await this.#tell(thread, "state", options)) as StateSnapshot,
    );
  }

  /** The checkpoints of a thread, newest first. */
  async getStateHistory(thread: string, { limit = 1_000 } = {}): Promise<StateSnapshot[]> {
    return this.#read(
      async () => (await this.#recorded.getStateHistory(thread)).slice(0, limit),
      async () => (await this.#tell(thread, "history", { limit })) as StateSnapshot[],
    );
  }

  /** Changes the state of a thread at rest from outside. */
  async updateState(thread: string, update: Partial<Input>): Promise<void> {
    await this.#tell(thread, "update", { update });
  }

  /** Begins a new thread with the state that another one had at a checkpoint. */
  async fork(
    thread: string,
    options: { readonly checkpoint?: number; readonly to?: string } = {},
  ): Promise<string> {
    const { checkpoint, to = newId() } = options;
    const message = { from: thread, ...(checkpoint !== undefined && { checkpoint }) };
    try {
      await this.#tell(to, "fork", message);
    } catch (error) {
      // Made here a moment ago by an owner that died before it answered.
      if (options.to !== undefined || !isMeshError(error, "CONFLICT")) throw error;
    }
    return to;
  }

  /** As of a local graph; made with the graph itself only. */
  replay<const M extends Exclude<StreamMode, "custom" | "tokens">>(
    thread: string,
    options: { readonly mode: M | readonly M[]; readonly upTo?: number },
  ): AsyncIterable<StreamItem<M>> {
    if (this.#graph !== undefined) return this.#graph.replay(thread, options);
    throw new MeshError(
      "INVALID_CONTRACT",
      `To replay thread ${thread}, remoteGraph() needs the graph, not its name.`,
    );
  }

  /** What the graph looks like, from whoever hosts it. */
  async describe(): Promise<GraphDescription> {
    return (await this.#tell("", "describe", null)) as GraphDescription;
  }

  /** From what is recorded, or from who has the reducers that this needs. */
  async #read<T>(recorded: () => Promise<T>, told: () => Promise<T>): Promise<T> {
    try {
      return await recorded();
    } catch (error) {
      if (this.#graph !== undefined || !isMeshError(error, "GRAPH_CHANGED")) throw error;
      return told();
    }
  }

  async #begin(
    input: Input | Command | null,
    options: RemoteOptions,
    thread: string,
    watcher?: Watcher,
  ): Promise<RunResult<Output>> {
    const { interruptBefore, interruptAfter } = options;
    const breakpoints = {
      ...(interruptBefore && { interruptBefore }),
      ...(interruptAfter && { interruptAfter }),
    };
    if (input === null) return this.#follow(thread, "goOn", breakpoints, options, watcher);
    if (input instanceof Command) {
      const { resume: value, interrupt } = input;
      if (value === undefined) {
        throw new MeshError("INVALID_INPUT", "A command without resume is for nodes to return.");
      }
      const message = { value, ...breakpoints, ...(interrupt !== undefined && { interrupt }) };
      return this.#follow(thread, "answer", message, options, watcher);
    }
    const { busy } = options;
    const message = { input, ...breakpoints, ...(busy && { busy }) };
    return this.#follow(thread, "invoke", message, options, watcher);
  }

  /** Gives a command and waits until the run is at rest. */
  async #follow<K extends "invoke" | "answer" | "signal" | "goOn">(
    thread: string,
    verb: K,
    message: Omit<GraphCommands[K], "waitMs" | "watcher" | "durability">,
    options: RemoteOptions,
    watcher?: Watcher,
  ): Promise<RunResult<Output>> {
    const { timeout, signal, detach, durability } = options;
    signal?.throwIfAborted();
    const untilMs = timeout === undefined ? Infinity : now() + toMs(timeout);
    const bounds = { signal, detach, untilMs, timeout };
    const id = options.id === undefined ? newId() : idOf(verb, options.id);
    const run = verb === "invoke" ? id : undefined;
    const told = { ...message, ...(watcher && { watcher }), ...(durability && { durability }) };
    for (;;) {
      const whole = { ...told, waitMs: this.#waitMs(thread, untilMs) } as unknown;
      // Until its turn has come.
      const standing = await this.#orCancel(thread, run, signal, () =>
        this.#tell(thread, verb, whole as GraphCommands[K], id, bounds),
      );
      if (standing.status !== "running") return await this.#result(thread, standing);
      if (standing.run !== "") return await this.#wait(thread, standing.run, bounds, watcher);
    }
  }

  async #wait(
    thread: string,
    run: string | undefined,
    bounds: Bounds,
    watcher?: Watcher,
  ): Promise<RunResult<Output>> {
    const id = newId();
    const { signal, untilMs = Infinity } = bounds;
    for (;;) {
      const waitMs = this.#waitMs(thread, untilMs);
      const message = { waitMs, ...(run && { run }), ...(watcher && { watcher }) };
      // Until it is at rest.
      const standing = await this.#orCancel(thread, run, signal, () =>
        this.#tell(thread, "wait", message, id, bounds),
      );
      if (standing.status !== "running") return await this.#result(thread, standing);
    }
  }

  #waitMs(thread: string, untilMs: number): number {
    const waitMs = Math.min(WAIT_MS, untilMs - now());
    if (waitMs > 0) return waitMs;
    throw new MeshError("TIMEOUT", `Thread ${thread} is still being executed; it goes on.`);
  }

  /** As of a local graph, the caller's signal cancels the run. */
  async #orCancel(
    thread: string,
    run: string | undefined,
    signal: AbortSignal | undefined,
    work: () => Promise<unknown>,
  ): Promise<Standing> {
    try {
      return (await work()) as Standing;
    } catch (error) {
      if (signal?.aborted) {
        const message = { reason: "The caller gave up.", ...(run && { run }) };
        const canceled = this.#tell(thread, "cancel", message).catch(() => undefined);
        await Promise.race([canceled, new Promise((resolve) => setTimeout(resolve, CANCEL_MS))]);
      }
      throw error;
    }
  }

  /** Gives a command to the owner of the thread, again and by the same id as long as nobody has taken it. */
  async #tell<K extends keyof GraphCommands>(
    thread: string,
    verb: K,
    message: GraphCommands[K],
    id = newId(),
    { signal: canceled, detach, untilMs = Infinity, timeout: asked }: Bounds = {},
  ): Promise<unknown> {
    const signals = [canceled, detach].filter((one) => one !== undefined);
    const signal = signals.length > 1 ? AbortSignal.any(signals) : signals[0];
    const owner = this.#mesh.get(this.#contract, thread) as Answers;
    for (let giveUpMs = now() + PATIENCE_MS; ;) {
      const timeout = Math.min(WAIT_MS + UNOWNED_MS, Math.max(1, untilMs - now()) + 1_000);
      try {
        return await owner[verb](message, { id, timeout, ...(signal && { signal }) });
      } catch (error) {
        const passing = PASSING.some((code) => isMeshError(error, code));
        const late = now() >= untilMs && isMeshError(error, "TIMEOUT") && !signal?.aborted;
        if (late && asked !== undefined) throw ownerIsSilent(thread, asked, error);
        if (!passing || signal?.aborted || now() >= Math.min(untilMs, giveUpMs)) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  async #result(thread: string, standing: Standing): Promise<RunResult<Output>> {
    const { status, run, interrupts, output, paused, large, error } = standing;
    if (error !== undefined) throw fromWireError(error);
    const waiting = status === "waiting";
    const read = large ? await this.#readRest(thread, run, waiting) : { output, interrupts };
    return {
      thread,
      run,
      status: waiting ? "waiting" : "completed",
      output: read.output as Output,
      interrupts: read.interrupts,
      ...(paused && { paused }),
    };
  }

  /** What was too large to be sent. */
  async #readRest(
    thread: string,
    run: string,
    waiting: boolean,
  ): Promise<{ readonly output: unknown; readonly interrupts: readonly Interrupt[] }> {
    const known = this.#graph?.plan;
    const reader = readThread(known ?? barePlan(this.name), await this.#store.read(thread));
    const { run: state } = reader;
    const plan = known ?? reader.plan;
    if (state.run !== run) {
      const text = `Another run has followed run ${run} on thread ${thread}.`;
      throw new MeshError("CONFLICT", text);
    }
    const output = waiting ? publicValues(plan, state.values) : outputOf(plan, state.values);
    return { output, interrupts: waiting ? interruptsOf(state) : [] };
  }

  #streamed<M extends StreamMode>(
    mode: M | readonly M[],
    begin: (watcher: Watcher) => Promise<RunResult<Output>>,
  ): AsyncIterable<StreamItem<M>> & { readonly result: Promise<RunResult<Output>> } {
    const watch = newId();
    const modes = typeof mode === "string" ? [mode] : mode;
    const stream = new RunStream<StreamItem<M>>(modes);
    const subscribed = this.#mesh.subscribe(
      GraphStreams,
      (value) => {
        if (stream.behind < MAX_BEHIND) stream.add((value as { readonly item: StreamItem }).item);
      },
      { where: { watch } },
    );
    const result = subscribed.then(async (subscription) => {
      try {
        return await begin({ watch, modes });
      } finally {
        await subscription.unsubscribe();
      }
    });
    result.then(
      () => stream.end(),
      (error: unknown) => stream.end({ error }),
    );
    return Object.assign(stream, { result });
  }
}

/** Commands of one id are of one kind. */
function idOf(verb: keyof GraphCommands, id: string): string {
  return verb === "invoke" ? id : `${verb}:${id}`;
}

interface Bounds {
  /** Cancels the run. */
  readonly signal?: AbortSignal | undefined;
  readonly detach?: AbortSignal | undefined;
  /** Monotonic. */
  readonly untilMs?: number;
  /** The whole of it, as it was asked for. */
  readonly timeout?: Duration | undefined;
}

/** The owner has a little longer than was asked for, to say that the run goes on. Nobody needs to know. */
function ownerIsSilent(thread: string, asked: Duration, cause: unknown): MeshError {
  const text = `Whoever executes thread ${thread} did not answer within ${toMs(asked)} ms.`;
  return new MeshError("TIMEOUT", text, { cause });
}

function now(): number {
  return performance.now();
}
