import { MeshError, token } from "@plexus/core";
import type { z } from "zod";
import {
  isChannel,
  overwrite,
  type Channel,
  type Channels,
  type StateOf,
  type UpdateOf,
} from "./channel.ts";
import { checkPlan } from "./check.ts";
import { END, PARENT, START, type Goto } from "./command.ts";
import { CompiledGraph } from "./compiled-graph.ts";
import type { CompileOptions } from "./graph-options.ts";
import type { RouteContext } from "./context.ts";
import { hashOf } from "./skeleton.ts";
import {
  resolveOptions,
  type NodeFunction,
  type NodeOptions,
  type Settings,
  type SubgraphOptions,
} from "./node.ts";
import { joinKey, type Join, type Nested, type NodePlan, type Plan, type Route } from "./plan.ts";

/** What a graph may say of itself. */
export interface GraphOptions<Input extends z.ZodType, Output extends z.ZodType> {
  /** Default: "graph". */
  readonly name?: string;
  /** Is recorded with every run; raise it when the meaning of recorded states changes. Default: "0.0.0". */
  readonly version?: string;
  /** What a run is started with: an object of updates. Default: updates of any channels. */
  readonly input?: Input;
  /** What a run results in, taken from the channels. Default: all public channels. */
  readonly output?: Output;
  /** A run that takes more steps fails with `STEP_LIMIT`. Default 1,000. */
  readonly maxSteps?: number;
  /** Executions of one step at a time. Default: no bound. */
  readonly maxConcurrency?: number;
}

interface Draft {
  readonly settings: Settings;
  readonly run: NodePlan["run"];
  readonly nested: Nested | undefined;
}

type Names<N extends string> = N | readonly N[];

/**
 * Builds a graph, in LangGraph's terms: nodes read the state and return updates of its channels, edges say who goes on.
 * Nodes that are due together are a step: they are executed at the same time, and the state changes when all of them are done.
 *
 * @example
 * const graph = new StateGraph({ text: z.string(), notes: append(z.string()) })
 *   .addNode("write", ({ notes }) => ({ text: notes.join(" ") }))
 *   .addEdge(START, "write")
 *   .addEdge("write", END)
 *   .compile();
 * const { output } = await graph.invoke({ notes: ["hello"] });
 */
export class StateGraph<
  C extends Channels,
  Input extends z.ZodType = z.ZodType<UpdateOf<C>, UpdateOf<C>>,
  Output extends z.ZodType = z.ZodType<StateOf<C>>,
  N extends string = never,
> {
  readonly #channels: C;
  readonly #options: GraphOptions<Input, Output>;
  readonly #private = new Map<string, Channel>();
  readonly #drafts = new Map<string, Draft>();
  readonly #edges: { from: string; to: string }[] = [];
  readonly #joins: Join[] = [];
  readonly #routes: { from: string; route: Route }[] = [];

  constructor(channels: C, options: GraphOptions<Input, Output> = {}) {
    this.#channels = channels;
    this.#options = options;
  }

  /** Adds a node. Without an `input` schema it is given the state: all public channels, and its private ones. */
  addNode<
    const Name extends string,
    In extends z.ZodType = z.ZodType<StateOf<C>>,
    // oxlint-disable-next-line typescript/no-generated-empty-object-type -- no channels
    Private extends Channels = Readonly<Record<never, z.ZodType>>,
  >(
    name: Name,
    run: NodeFunction<
      UpdateOf<C> & UpdateOf<NoInfer<Private>>,
      z.output<NoInfer<In>> & StateOf<NoInfer<Private>>
    >,
    options: NodeOptions<C, In, Private> = {},
  ): StateGraph<C, Input, Output, N | Name> {
    for (const [key, channel] of Object.entries(options.private ?? {})) {
      token(`Node ${name}: private channel`, key);
      if (key in this.#channels) {
        throw invalid(`Node ${name}: channel ${key} is public already, and cannot be private`);
      }
      this.#private.set(`${name}.${key}`, asChannel(channel, `${name}.${key}`));
    }
    const settings = resolveOptions(name, options);
    return this.#add(name, { settings, run: run as NodePlan["run"], nested: undefined });
  }

  /** Adds a graph as a node of this one. Its channels are its own: `map` and `merge` are all that passes. */
  addSubgraph<const Name extends string, SubInput, SubOutput>(
    name: Name,
    graph: CompiledGraph<SubInput, SubOutput>,
    options: SubgraphOptions<C, NoInfer<SubInput>, NoInfer<SubOutput>>,
  ): StateGraph<C, Input, Output, N | Name> {
    const { map, merge, ...common } = options;
    const settings = resolveOptions(name, common);
    const nested = { plan: graph.plan, input: map, output: merge } as unknown as Nested;
    return this.#add(name, { settings, run: undefined, nested });
  }

  /** `to` follows `from`; with several sources, when all of them have been executed. */
  addEdge(from: typeof START | Names<N>, to: N | typeof END): this {
    if (typeof from === "string") {
      this.#edges.push({ from, to });
      return this;
    }
    const sources = [...new Set<string>(from)];
    if (sources.length < 2) throw invalid(`The join of ${to} needs two nodes or more to wait for`);
    this.#joins.push({ key: joinKey(sources, to), from: sources, to });
    return this;
  }

  /**
   * After `from` comes what `decide` returns: one or several of `targets`, or of its keys, or {@link Send}s to them. `decide` sees the
   * state with the updates of `from`. Its decision is recorded, so it may ask a model.
   */
  addConditionalEdges<const Label extends string = N | typeof END>(
    from: typeof START | N,
    decide: (state: StateOf<C>, context: RouteContext) => Goto | Promise<Goto>,
    targets: readonly (N | typeof END)[] | Readonly<Record<Label, N | typeof END>>,
  ): this {
    const labels = Array.isArray(targets) ? [] : Object.entries(targets as Record<string, string>);
    const names = Array.isArray(targets) ? (targets as string[]) : labels.map(([, to]) => to);
    this.#routes.push({
      from,
      route: {
        targets: [...new Set(names)],
        labels: new Map(labels),
        decide,
      },
    });
    return this;
  }

  /**
   * Checks the graph and makes it executable. Throws `INVALID_CONTRACT`, naming the culprit: an unknown, unreachable or
   * unconnected node, one from which no way leads to END, two nodes that surely write an overwrite channel in one step.
   */
  compile(options: CompileOptions = {}): CompiledGraph<z.input<Input>, z.output<Output>> {
    return new CompiledGraph(this.#plan(), options);
  }

  #add<Name extends string>(name: Name, draft: Draft): StateGraph<C, Input, Output, N | Name> {
    token("Node name", name);
    if ([START, END, PARENT].includes(name)) throw invalid(`No node can be called ${name}`);
    if (this.#drafts.has(name)) throw invalid(`There are two nodes called ${name}`);
    this.#drafts.set(name, draft);
    return this;
  }

  #plan(): Plan {
    const { name = "graph", version = "0.0.0", maxSteps = 1_000 } = this.#options;
    const { maxConcurrency = Infinity, input, output } = this.#options;
    token("Graph name", name);
    for (const [what, value] of Object.entries({ maxSteps, maxConcurrency })) {
      if (!(value >= 1)) throw invalid(`Graph ${name}: ${what} must be 1 or more`);
    }
    const channels = new Map(this.#private);
    for (const [key, channel] of Object.entries(this.#channels)) {
      token("Channel name", key);
      channels.set(key, asChannel(channel, key));
    }
    const nodes = new Map<string, NodePlan>();
    for (const [node, { settings, run, nested }] of this.#drafts) {
      nodes.set(node, { ...settings, name: node, run, nested, ...this.#exits(node) });
    }
    const plan = {
      name,
      version,
      channels,
      publicKeys: Object.keys(this.#channels),
      nodes,
      start: { ...this.#exits(START), ends: [] },
      input,
      output,
      maxSteps,
      maxConcurrency,
    };
    const joined = new Set(this.#joins.flatMap(({ from }) => from));
    const sources = [...this.#edges, ...this.#routes].map(({ from }) => from);
    checkPlan(plan, [...joined, ...sources]);
    return { ...plan, hash: hashOf(plan) };
  }

  #exits(node: string): Pick<NodePlan, "next" | "joins" | "routes"> {
    const next = this.#edges.filter(({ from }) => from === node).map(({ to }) => to);
    return {
      next: [...new Set(next)],
      joins: this.#joins.filter(({ from }) => from.includes(node)),
      routes: this.#routes.filter(({ from }) => from === node).map(({ route }) => route),
    };
  }
}

function asChannel(value: unknown, name: string): Channel {
  if (isChannel(value)) return value;
  if (typeof value === "object" && value !== null && "_zod" in value) {
    return overwrite(value as z.ZodType);
  }
  throw invalid(
    `Channel ${name} is neither a zod schema nor made by append, sum, messages, reduced`,
  );
}

function invalid(text: string): MeshError {
  return new MeshError("INVALID_CONTRACT", `${text}.`);
}
