/** Where a graph begins. */
export const START = "__start__";

/** Where a branch ends. */
export const END = "__end__";

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
 * `invoke`, the answer to an interrupt.
 *
 * @example
 * return new Command({ goto: "billing", update: { topic: "refund" } });
 * await graph.invoke(new Command({ resume: true }), { thread });
 */
export class Command<Update = unknown> {
  readonly update: Update | undefined;
  readonly goto: Goto;
  /** The answer, in `invoke`; undefined in a command that is none. */
  readonly resume: unknown;
  /** Which interrupt is answered; needed when the run waits for several answers. */
  readonly interrupt: string | undefined;

  constructor(
    options:
      | { readonly goto?: Goto; readonly update?: Update }
      | { readonly resume: unknown; readonly interrupt?: string },
  ) {
    this.update = "update" in options ? options.update : undefined;
    this.goto = "goto" in options ? (options.goto ?? []) : [];
    this.resume = "resume" in options ? (options.resume ?? null) : undefined;
    this.interrupt = "interrupt" in options ? options.interrupt : undefined;
  }
}
