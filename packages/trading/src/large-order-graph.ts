import { isMeshError } from "@plexus/core";
import {
  append,
  Command,
  type CompiledGraph,
  type CompileOptions,
  END,
  MemoryCheckpointer,
  Send,
  START,
  StateGraph,
  type StateSnapshot,
} from "@plexus/workflow";
import * as z from "zod";
import { OrderAnswer } from "./contracts.ts";
import { Order } from "./decision.ts";
import {
  Analyst,
  Approval,
  type ApprovalRequest,
  isVotedDown,
  Opinion,
  opinionOf,
  Review,
} from "./large-order.ts";

/** Why a large order is refused. */
type Refusal = "voted-down" | "not-approved";

/** What becomes of an order in the end. Both know an order by its id: told again, they answer as before. */
export interface Endings {
  execute(order: Order, signal: AbortSignal): Promise<OrderAnswer>;
  refuse(order: Order, reason: Refusal, signal: AbortSignal): Promise<OrderAnswer>;
}

const Case = z.object({ order: Order, review: Review });

/** A large order and why it is reviewed. */
export type LargeOrder = z.infer<typeof Case>;
type LargeOrderGraph = CompiledGraph<LargeOrder, { answer: OrderAnswer }>;

/** The graph, here or hosted on a mesh. */
type Runs = Pick<LargeOrderGraph, "invoke" | "getState">;

/** A large order's way: the analysts' opinions side by side, their vote, a human's approval if it needs one, and its execution or refusal. */
export function largeOrderGraph(
  endings: Endings,
  options: CompileOptions = { checkpointer: new MemoryCheckpointer() },
): LargeOrderGraph {
  return new StateGraph(
    {
      order: Order,
      review: Review,
      opinions: append(Opinion),
      approval: Approval,
      answer: OrderAnswer,
    },
    {
      name: "large-order",
      version: "1.0.0",
      input: Case,
      output: z.object({ answer: OrderAnswer }),
    },
  )
    .addNode("analyse", ({ analyst, review }) => ({ opinions: [opinionOf(analyst, review)] }), {
      input: z.object({ analyst: Analyst, review: Review }),
      writes: ["opinions"],
    })
    .addNode(
      "vote",
      ({ opinions, review }) => {
        if (isVotedDown(opinions)) return new Command({ goto: "refuse" });
        return new Command({ goto: review.approval ? "approve" : "execute" });
      },
      { ends: ["approve", "execute", "refuse"] },
    )
    .addNode(
      "approve",
      ({ order: { id, strategy, symbol }, review: { notionalCents }, opinions }, ctx) => {
        const request: ApprovalRequest = { order: id, strategy, symbol, notionalCents, opinions };
        const approval = ctx.interrupt(request, Approval);
        return new Command({
          update: { approval },
          goto: approval.approved ? "execute" : "refuse",
        });
      },
      { ends: ["execute", "refuse"], writes: ["approval"] },
    )
    .addNode(
      "execute",
      async ({ order }, { signal }) => ({ answer: await endings.execute(order, signal) }),
      { writes: ["answer"] },
    )
    .addNode(
      "refuse",
      async ({ order, approval }, { signal }) => ({
        answer: await endings.refuse(order, approval ? "not-approved" : "voted-down", signal),
      }),
      { writes: ["answer"] },
    )
    .addConditionalEdges(
      START,
      ({ review }) => Analyst.options.map((analyst) => new Send("analyse", { analyst, review })),
      ["analyse"],
    )
    .addEdge("analyse", "vote")
    .addEdge("execute", END)
    .addEdge("refuse", END)
    .compile(options);
}

/**
 * Sees an order through its graph, from wherever that is: a run that was left or has failed goes on there, one that is over answers as
 * before. `ask` brings a human's word, or rejects when its signal fires; the run stays where it is then.
 */
export async function seeThrough(
  graph: Runs,
  large: LargeOrder,
  ask: (request: ApprovalRequest) => Promise<Approval>,
): Promise<OrderAnswer> {
  const thread = large.order.id;
  const before = await stateOf(graph, thread);
  // With ids, whoever else sees the same order through begins and answers nothing a second time.
  let result =
    before?.status === "failed"
      ? await graph.invoke(null, { thread })
      : await graph.invoke(large, { thread, id: thread });
  for (let asked = 1; ; asked++) {
    const [question] = result.interrupts;
    if (question === undefined) return result.output.answer;
    // An answer that is not taken is asked for again.
    const resume = await ask(question.value as ApprovalRequest);
    result = await graph.invoke(new Command({ resume }), { thread, id: `${thread}/${asked}` });
  }
}

async function stateOf(graph: Runs, thread: string): Promise<StateSnapshot | undefined> {
  try {
    return await graph.getState(thread);
  } catch (error) {
    if (isMeshError(error, "NO_RUN")) return undefined;
    throw error;
  }
}
