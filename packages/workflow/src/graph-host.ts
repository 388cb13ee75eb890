import {
  MeshError,
  encodePayload,
  type Checkpointer,
  type ThreadCall,
  type ThreadKeeper,
} from "@plexus/core";
import type { BreakpointOptions } from "./breakpoint.ts";
import { Broadcast } from "./broadcast.ts";
import { Command } from "./command.ts";
import type { CompiledGraph } from "./compiled-graph.ts";
import type { InvokeOptions, RunResult } from "./graph-options.ts";
import { isFailure } from "./failure.ts";
import {
  graphContract,
  type GraphCommands,
  type Standing,
  type Watcher,
} from "./graph-contract.ts";
import type { GraphHostOptions, GraphMesh, HostedGraph } from "./graph-port.ts";

const MAX_WAIT_MS = 60_000;
/** Of an answer; what is larger is read from what is recorded. */
const MAX_ANSWER_BYTES = 256 * 1024;
/** How long a call that waits for its turn, or somebody who watches, is remembered unless they ask again. */
const FORGET_MS = 30_000;

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
    new GraphKeeper(mesh, graph.with({ checkpointer: store }), store.maxPartBytes);
  return mesh.hostThreads(graphContract(graph.plan.name, lease), keep, rest);
}

type Handler<K extends keyof GraphCommands> = (
  input: GraphCommands[K],
  call: ThreadCall,
) => Promise<unknown>;

/** A call that is carried out, or waits for its turn. */
interface Pending {
  readonly result: Promise<RunResult<unknown>>;
  readonly abandon: AbortController;
  /** The run that it is about; empty: it has not been taken in yet. */
  readonly run: string;
  forget: NodeJS.Timeout | undefined;
}

class GraphKeeper implements ThreadKeeper {
  readonly handlers: ThreadKeeper["handlers"];
  readonly #mesh: GraphMesh;
  readonly #graph: CompiledGraph;
  readonly #maxBytes: number;
  readonly #pending = new Map<string, Pending>();
  readonly #broadcasts = new Map<string, { broadcast: Broadcast; forget: NodeJS.Timeout }>();

  constructor(mesh: GraphMesh, graph: CompiledGraph, maxPartBytes = MAX_ANSWER_BYTES) {
    this.#mesh = mesh;
    this.#graph = graph;
    this.#maxBytes = Math.min(MAX_ANSWER_BYTES, maxPartBytes / 2);
    const handlers: { readonly [K in keyof GraphCommands]: Handler<K> } = {
      invoke: ({ input, busy, ...waits }, call) =>
        this.#follow(call, waits, (told) =>
          this.#graph.invoke(input, { ...told, ...breakpoints(waits), ...(busy && { busy }) }),
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
        this.#follow(call, waits, ({ listener, begun }) => {
          begun?.(run ?? UNKNOWN);
          const told = { ...(run && { id: run }), ...(listener && { listener }) };
          return this.#graph.resume(call.thread, told);
        }),
      cancel: ({ reason, run }, { thread, id }) => {
        const waiting = run === undefined ? undefined : this.#pending.get(keyOf(thread, run));
        if (waiting?.run === "") {
          waiting.abandon.abort(new MeshError("CANCELED", "The caller gave up."));
          return Promise.resolve(true);
        }
        return this.#graph.cancel(thread, reason, { id, ...(run && { run }) });
      },
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
      this.#report(thread, error);
    }
  }

  leave(threads: readonly string[], reason: Error): Promise<void> {
    return this.#graph.leave(threads, reason);
  }

  /** How the run stands when it rests, or when the caller has waited long enough; it goes on in any case. */
  async #follow(
    call: ThreadCall,
    waits: GraphCommands["wait"],
    begin: (told: InvokeOptions) => Promise<RunResult<unknown>>,
  ): Promise<Standing> {
    const { signal } = call;
    const pending = this.#begun(call, waits, begin);
    const late = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => late.resolve(undefined), Math.min(waits.waitMs, MAX_WAIT_MS));
    const gone = (): void => late.reject(signal.reason);
    signal.addEventListener("abort", gone, { once: true });
    try {
      const rested = await Promise.race([pending.result, late.promise]);
      const asked = rested !== undefined && (rested.interrupts.length > 0 || rested.paused);
      const asleep = rested?.until !== undefined && !asked;
      if (asleep) await late.promise; // it goes on by itself, and the caller asks again
      if (!asleep && rested !== undefined) return this.#standing(rested);
      if (pending.run === "") this.#forget(pending);
      return { status: "running", run: rested?.run ?? pending.run, interrupts: [] };
    } catch (error) {
      if (!isFailure(error)) throw error;
      this.#report(call.thread, error);
      const { run } = error.details as { readonly run: string };
      return { status: "failed", run, interrupts: [], error: error.toJSON() };
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", gone);
      late.promise.catch(() => undefined);
    }
  }

  /** What the call has begun, now or when it was made before. */
  #begun(
    { thread, id, owned }: ThreadCall,
    { watcher, durability }: GraphCommands["wait"],
    begin: (told: InvokeOptions) => Promise<RunResult<unknown>>,
  ): Pending {
    const listener = watcher && this.#broadcast(watcher);
    const key = keyOf(thread, id);
    const known = this.#pending.get(key);
    if (known !== undefined) {
      clearTimeout(known.forget);
      return known;
    }
    const abandon = new AbortController();
    let run = "";
    const told = {
      thread,
      id,
      detach: AbortSignal.any([owned, abandon.signal]),
      begun: (begun: string): void => {
        run = begun;
      },
      ...(listener && { listener }),
      ...(durability && { durability }),
    };
    const result = begin(told);
    const pending: Pending = {
      result,
      abandon,
      get run() {
        return run;
      },
      forget: undefined,
    };
    this.#pending.set(key, pending);
    const ended = (): void => {
      clearTimeout(pending.forget);
      this.#pending.delete(key);
    };
    result.then(ended, ended);
    return pending;
  }

  /** Unless the caller asks again. */
  #forget(pending: Pending): void {
    const reason = new MeshError("CANCELED", "The caller has not asked again.");
    pending.forget = setTimeout(() => {
      if (pending.run === "") pending.abandon.abort(reason);
    }, FORGET_MS);
  }

  #standing({ status, run, output, interrupts, paused }: RunResult<unknown>): Standing {
    const about = { status, run, ...(paused && { paused }) };
    const whole: Standing = { ...about, output, interrupts };
    if (encodePayload(whole).length <= this.#maxBytes) return whole;
    return { ...about, interrupts: [], large: true };
  }

  /** With the stack of what was thrown, if that was here. */
  #report(thread: string, error: MeshError): void {
    if (error.code === "CANCELED") return;
    const { name: graph } = this.#graph.plan;
    const { cause, message } = error;
    const stack = cause instanceof Error ? `\n${cause.stack}` : "";
    const text = `the run on thread ${thread} of graph ${graph} has failed: ${message}${stack}`;
    this.#mesh.log?.warn({ err: error, graph, thread }, text);
  }

  /** The same for whoever asks again: each piece is told once. Who does not ask any more is told nothing. */
  #broadcast(watcher: Watcher): Broadcast {
    const { watch } = watcher;
    const known = this.#broadcasts.get(watch);
    clearTimeout(known?.forget);
    const broadcast = known?.broadcast ?? new Broadcast(this.#mesh, watcher);
    const forget = setTimeout(() => {
      broadcast.close();
      this.#broadcasts.delete(watch);
    }, FORGET_MS);
    forget.unref();
    this.#broadcasts.set(watch, { broadcast, forget });
    return broadcast;
  }
}

/** Of a run whose caller does not say which one it is. */
const UNKNOWN = "?";

function keyOf(thread: string, id: string): string {
  return `${thread}\0${id}`;
}

function breakpoints(options: BreakpointOptions): BreakpointOptions {
  const { interruptBefore, interruptAfter } = options;
  return { ...(interruptBefore && { interruptBefore }), ...(interruptAfter && { interruptAfter }) };
}
