/** One operation of a history: what a client asked, what it was answered, and between which moments. */
export interface Operation<Input, Output> {
  /** Who did it, for a person who reads about a violation. */
  readonly client: string;
  readonly input: Input;
  /** When it began and when it was answered, by one clock for all clients, in any unit. */
  readonly calledAt: number;
  readonly answeredAt: number;
  /** Undefined: nobody knows. It may have taken effect at any moment after it began, later than `answeredAt` even, or never. */
  readonly output: Output | undefined;
}

/** What operations do to the thing that they are done to, if they are done one after the other. */
export interface Model<State, Input, Output> {
  readonly initial: State;
  /**
   * The state after an operation; undefined if it cannot have been answered like that in this state. Called with no output for
   * an operation whose outcome nobody knows: then it says what its effect is.
   */
  step(state: State, input: Input, output: Output | undefined): State | undefined;
  /** The same text for states that are the same. */
  show(state: State): string;
  /** Operations on different things are independent of each other, and judged apart. Default: all are on one thing. */
  partition?(input: Input): string;
}

/** What {@link checkLinearizability} finds. */
export type Verdict<Input, Output> =
  | { readonly kind: "linearizable" }
  /** There is no order that explains all answers. */
  | {
      readonly kind: "violated";
      readonly partition: string;
      /** As many operations as could be put into an order, in it. */
      readonly explained: readonly Operation<Input, Output>[];
      /** The next answer that no order explains. */
      readonly unexplained: Operation<Input, Output>;
    }
  /** The search was given up: there are too many orders. */
  | { readonly kind: "undecided"; readonly partition: string };

const MAX_VISITED = 2_000_000;

/** A node of the list of what is not ordered yet: a call, or the answer to one. */
interface Node {
  readonly op: number;
  readonly answer: boolean;
  /** Of a call: the node of its answer; undefined if nobody knows it. */
  match: Node | undefined;
  before: Node | undefined;
  after: Node | undefined;
}

/**
 * Decides whether a history is linearizable: whether each operation can have happened at one moment between its call and its
 * answer, in an order in which the model gives the same answers. The search of Wing and Gong (1993) with the memory of visited
 * configurations by Lowe (2017), one partition after the other.
 */
export function checkLinearizability<State, Input, Output>(
  history: readonly Operation<Input, Output>[],
  model: Model<State, Input, Output>,
): Verdict<Input, Output> {
  const parts = Map.groupBy(history, ({ input }) => model.partition?.(input) ?? "");
  for (const [partition, operations] of parts) {
    const found = search(operations, model);
    if (found === "undecided") return { kind: "undecided", partition };
    if (found !== undefined) return { kind: "violated", partition, ...found };
  }
  return { kind: "linearizable" };
}

function search<State, Input, Output>(
  operations: readonly Operation<Input, Output>[],
  model: Model<State, Input, Output>,
):
  | { explained: Operation<Input, Output>[]; unexplained: Operation<Input, Output> }
  | "undecided"
  | undefined {
  const head = listOf(operations);
  let unanswered = operations.filter(({ output }) => output !== undefined).length;
  const ordered = new Ordered(operations.length);
  const visited = new Set<string>();
  const taken: { node: Node; state: State }[] = [];
  let longest: { explained: number[]; unexplained: number } | undefined;
  let { initial: state } = model;
  let node = head.after;
  while (unanswered > 0) {
    if (node!.answer) {
      // It was answered, so it must have happened before; what was put first must be put differently.
      if (longest === undefined || taken.length > longest.explained.length) {
        longest = { explained: taken.map((step) => step.node.op), unexplained: node!.op };
      }
      const last = taken.pop();
      if (last === undefined) {
        return {
          explained: longest.explained.map((op) => operations[op]!),
          unexplained: operations[longest.unexplained]!,
        };
      }
      state = last.state;
      ordered.flip(last.node.op);
      putBack(last.node);
      if (last.node.match) unanswered++;
      node = last.node.after;
      continue;
    }
    const { input, output } = operations[node!.op]!;
    const next = model.step(state, input, output);
    if (next !== undefined) {
      ordered.flip(node!.op);
      const configuration = `${ordered.show()} ${model.show(next)}`;
      if (!visited.has(configuration)) {
        if (visited.size >= MAX_VISITED) return "undecided";
        visited.add(configuration);
        taken.push({ node: node!, state });
        state = next;
        takeOut(node!);
        if (node!.match) unanswered--;
        node = head.after;
        continue;
      }
      ordered.flip(node!.op);
    }
    node = node!.after;
  }
  return undefined;
}

/** Calls and answers in the order of their times; at one moment calls come first, as they may have been at once. */
function listOf(operations: readonly Operation<unknown, unknown>[]): Node {
  const nodes: (Node & { at: number })[] = [];
  for (const [op, { calledAt, answeredAt, output }] of operations.entries()) {
    const blank = { op, match: undefined, before: undefined, after: undefined };
    const call: Node & { at: number } = { ...blank, answer: false, at: calledAt };
    nodes.push(call);
    if (output === undefined) continue;
    const answer = { ...blank, answer: true, at: answeredAt };
    call.match = answer;
    nodes.push(answer);
  }
  nodes.sort((a, b) => a.at - b.at || Number(a.answer) - Number(b.answer));
  const head: Node = {
    op: -1,
    answer: false,
    match: undefined,
    before: undefined,
    after: undefined,
  };
  let last = head;
  for (const node of nodes) {
    node.before = last;
    last.after = node;
    last = node;
  }
  return head;
}

function takeOut(call: Node): void {
  unlink(call);
  if (call.match) unlink(call.match);
}

/** Undoes {@link takeOut}, if everything that was taken out later has been put back. */
function putBack(call: Node): void {
  if (call.match) link(call.match);
  link(call);
}

function unlink(node: Node): void {
  node.before!.after = node.after;
  if (node.after) node.after.before = node.before;
}

function link(node: Node): void {
  node.before!.after = node;
  if (node.after) node.after.before = node;
}

/** Which operations have been put into the order. */
class Ordered {
  readonly #words: Uint32Array;

  constructor(count: number) {
    this.#words = new Uint32Array(Math.ceil(count / 32));
  }

  flip(op: number): void {
    this.#words[op >> 5]! ^= 1 << (op & 31);
  }

  show(): string {
    return Buffer.from(this.#words.buffer).toString("latin1");
  }
}
