import type { Checkpointer, ThreadCall, ThreadKeeper } from "@plexus/core";
import type { BreakpointOptions } from "./breakpoint.ts";
import { Broadcast } from "./broadcast.ts";
import { Command } from "./command.ts";
import type { CompiledGraph, InvokeOptions, RunResult } from "./compiled-graph.ts";
import { isFailure } from "./failure.ts";
import {
  graphContract,
  type GraphCommands,
  type Standing,
  type Watcher,
} from "./graph-contract.ts";
import type { GraphHostOptions, GraphMesh, HostedGraph } from "./graph-port.ts";

const MAX_WAIT_MS = 60_000;
/** Of an output that is sent; a larger one is read from what is recorded. */
const MAX_OUTPUT_BYTES = 256 * 1024;

/**
 * Executes a share of a graph's threads in this process. Each thread is owned by one of the processes that host the graph; when that
 * one dies, another goes on with what was under way, and when one drains, behind what it has recorded. Runs are begun and
 * answered by {@link remoteGraph}, from any process.
 */
export function hostGraph(
  mesh: GraphMesh,
  graph: CompiledGraph,
  options: GraphHostOptions = {},
): Promise<HostedGraph> {
  const { lease, ...rest } = options;
  const keep = (store: Checkpointer): ThreadKeeper =>
    new GraphKeeper(mesh, graph.with({ checkpointer: store }));
  return mesh.hostThreads(graphContract(graph.plan.name, lease), keep, rest);
}

type Handler<K extends keyof GraphCommands> = (
  input: GraphCommands[K],
  call: ThreadCall,
) => Promise<unknown>;

class GraphKeeper implements ThreadKeeper {
  readonly handlers: ThreadKeeper["handlers"];
  readonly #mesh: GraphMesh;
  readonly #graph: CompiledGraph;
  readonly #broadcasts = new Map<string, Broadcast>();

  constructor(mesh: GraphMesh, graph: CompiledGraph) {
    this.#mesh = mesh;
    this.#graph = graph;
    const handlers: { readonly [K in keyof GraphCommands]: Handler<K> } = {
      invoke: ({ input, busy, durability, ...waits }, call) =>
        this.#follow(call, waits, (told) =>
          this.#graph.invoke(input, {
            ...told,
            ...breakpoints(waits),
            ...(busy && { busy }),
            ...(durability && { durability }),
          }),
        ),
      answer: ({ value, interrupt, ...waits }, call) =>
        this.#follow(call, waits, (told) => {
          const command = new Command({ resume: value, ...(interrupt && { interrupt }) });
          return this.#graph.invoke(command, { ...told, ...breakpoints(waits) });
        }),
      signal: ({ name, value, ...waits }, call) =>
        this.#follow(call, waits, (told) => this.#graph.signal(call.thread, name, value, told)),
      goOn: (waits, call) =>
        this.#follow(call, waits, (told) =>
          this.#graph.invoke(null, { ...told, ...breakpoints(waits) }),
        ),
      wait: ({ run, ...waits }, call) =>
        this.#follow(call, waits, ({ listener }) =>
          this.#graph.resume(call.thread, {
            ...(run && { id: run }),
            ...(listener && { listener }),
          }),
        ),
      cancel: ({ reason }, { thread, id }) => this.#graph.cancel(thread, reason, { id }),
      update: async ({ update }, { thread, id }) => {
        await this.#graph.updateState(thread, update as object, { id });
        return null;
      },
      fork: ({ from, checkpoint }, { thread }) =>
        this.#graph.fork(from, { to: thread, ...(checkpoint !== undefined && { checkpoint }) }),
      state: ({ checkpoint }, { thread }) =>
        this.#graph.getState(thread, checkpoint === undefined ? {} : { checkpoint }),
      history: async ({ limit }, { thread }) =>
        (await this.#graph.getStateHistory(thread)).slice(0, limit),
      describe: async () => {
        const { name, version, hash } = this.#graph.plan;
        const [chart, drawing] = [this.#graph.mermaid(), this.#graph.draw()];
        return { name, version, hash, mermaid: chart, drawing };
      },
    };
    this.handlers = handlers as unknown as ThreadKeeper["handlers"];
  }

  async resume(thread: string): Promise<void> {
    try {
      await this.#graph.resume(thread);
    } catch (error) {
      if (!isFailure(error)) throw error; // how a run has ended is recorded
    }
  }

  leave(threads: readonly string[], reason: Error): Promise<void> {
    return this.#graph.leave(threads, reason);
  }

  /** How the run stands when it rests, or when the caller has waited long enough; it goes on in any case. */
  async #follow(
    { thread, id, signal }: ThreadCall,
    { waitMs, watcher }: GraphCommands["wait"],
    begin: (told: InvokeOptions) => Promise<RunResult<unknown>>,
  ): Promise<Standing> {
    const listener = watcher && this.#broadcast(watcher);
    const result = begin({ thread, id, ...(listener && { listener }) });
    const ended = (): void => void (watcher && this.#broadcasts.delete(watcher.watch));
    result.then(ended, ended);
    const late = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => late.resolve(undefined), Math.min(waitMs, MAX_WAIT_MS));
    const gone = (): void => late.reject(signal.reason);
    signal.addEventListener("abort", gone, { once: true });
    try {
      const rested = await Promise.race([result, late.promise]);
      const asked = rested !== undefined && (rested.interrupts.length > 0 || rested.paused);
      const asleep = rested?.until !== undefined && !asked;
      if (asleep) await late.promise; // it goes on by itself, and the caller asks again
      if (asleep || rested === undefined) return { status: "running", run: "", interrupts: [] };
      const { status, run, output, interrupts, paused } = rested;
      const standing = { status, run, interrupts, ...(paused && { paused }) };
      return isSmall(output) ? { ...standing, output } : standing;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", gone);
      late.promise.catch(() => undefined);
    }
  }

  /** The same for whoever asks again: each piece is told once. */
  #broadcast(watcher: Watcher): Broadcast {
    let broadcast = this.#broadcasts.get(watcher.watch);
    if (broadcast === undefined) {
      broadcast = new Broadcast(this.#mesh, watcher);
      this.#broadcasts.set(watcher.watch, broadcast);
    }
    return broadcast;
  }
}

function breakpoints(options: BreakpointOptions): BreakpointOptions {
  const { interruptBefore, interruptAfter } = options;
  return { ...(interruptBefore && { interruptBefore }), ...(interruptAfter && { interruptAfter }) };
}

/** Whether it surely fits into a message. */
function isSmall(output: unknown): boolean {
  let left = MAX_OUTPUT_BYTES;
  const within = (value: unknown): boolean => {
    left -= 9;
    if (typeof value === "string") left -= value.length * 3;
    else if (value instanceof Uint8Array) left -= value.length;
    else if (Array.isArray(value)) return left > 0 && value.every(within);
    else if (typeof value === "object" && value !== null) {
      return left > 0 && Object.entries(value).every((entry) => entry.every(within));
    }
    return left > 0;
  };
  return within(output);
}
