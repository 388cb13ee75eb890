/** Where a graph begins. */
export const START = "__start__";

/** Where a branch ends. */
export const END = "__end__";

/** The graph around a subgraph: {@link Command.PARENT}. */
export const PARENT = "__parent__";

/**
 * Executes a node in the next step with an input of its own, beside whatever else the step executes: a router or a
 * {@link Command} that gives many of them fans out, and a reducer brings the results together.
 */
export class Send {
  readonly node: string;
  readonly input: unknown;

  constructor(node: string, input: unknown) {
    this.node = node;
    this.input = input;
  }
}

/** Where to go next: a node, {@link END}, or a {@link Send}; or several of them. */
export type Goto = string | Send | readonly (string | Send)[];

/**
 * What a node returns that updates the state _and_ says who goes on (a hand-off), in addition to its edges; or, given to
 * `invoke`, the answer to an interrupt. With `graph: Command.PARENT` it ends the subgraph that the node is in: the update is of the graph
 * around it, in place of the subgraph's output, and says which of its nodes goes on.
 *
 * @example
 * return new Command({ goto: "billing", update: { topic: "refund" } });
 * return new Command({ graph: Command.PARENT, goto: "human" });
 * await graph.invoke(new Command({ resume: true }), { thread });
 */
export class Command<Update = unknown> {
  /** The closest graph around the node's; among the node's `ends` if the node directs it. */
  static readonly PARENT: typeof PARENT = PARENT;

  readonly graph: typeof PARENT | undefined;
  readonly update: Update | undefined;
  readonly goto: Goto;
  /** The answer, in `invoke`; undefined in a command that is none. */
  readonly resume: unknown;
  /** Which interrupt is answered; needed when the run waits for several answers. */
  readonly interrupt: string | undefined;

  /** To the graph around, whose channels are not known here. */
  constructor(options: {
    readonly graph: typeof PARENT;
    readonly goto?: Goto;
    readonly update?: unknown;
  });
  constructor(
    options:
      | { readonly goto?: Goto; readonly update?: Update; readonly graph?: undefined }
      | { readonly resume: unknown; readonly interrupt?: string; readonly graph?: undefined },
  );
  constructor(
    options:
      | {
          readonly goto?: Goto;
          readonly update?: unknown;
          readonly graph?: typeof PARENT | undefined;
        }
      | { readonly resume: unknown; readonly interrupt?: string; readonly graph?: undefined },
  ) {
    this.graph = options.graph;
    this.update = "update" in options ? (options.update as Update | undefined) : undefined;
    this.goto = "goto" in options ? (options.goto ?? []) : [];
    this.resume = "resume" in options ? (options.resume ?? null) : undefined;
    this.interrupt = "interrupt" in options ? options.interrupt : undefined;
  }
}
