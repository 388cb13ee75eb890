import { MeshError, type Duration, type RetryPolicy } from "@plexus/core";
import { z } from "zod";
import type { UpdateOf } from "../channel.ts";
import { END, START, Command, Send } from "../command.ts";
import type { NodeContext } from "../context.ts";
import { StateGraph } from "../graph.ts";
import type { PatternGraph } from "./agent.ts";
import { collected, type Collected } from "./answers.ts";
import { demandCount } from "./sharing.ts";

/** A participant of a contract net. All it does gets a context; called again after a crash, `ctx.execution` is the same. */
export interface Contractor<Task, Proposal, Result> {
  /** A proposal for the task; undefined is a refusal. */
  bid(task: Task, context: NodeContext): Proposal | undefined | Promise<Proposal | undefined>;
  /** Does what it has proposed: it was awarded the task. */
  perform(
    award: { readonly task: Task; readonly proposal: Proposal },
    context: NodeContext,
  ): Result | Promise<Result>;
  /** Is told that its proposal was not accepted. */
  rejected?(
    lost: { readonly task: Task; readonly proposal: Proposal },
    context: NodeContext,
  ): unknown;
}

/** What became of one call for proposals at one participant. `late`: no answer until the deadline. */
export type Bid<Proposal> =
  | { readonly contractor: string; readonly status: "proposed"; readonly proposal: Proposal }
  | { readonly contractor: string; readonly status: "refused" | "late" }
  | { readonly contractor: string; readonly status: "failed"; readonly error: string };

/** A {@link Bid} that may be awarded. */
export type Proposed<Proposal> = Extract<Bid<Proposal>, { status: "proposed" }>;

/** How a negotiation has ended. `unawarded`: nobody has proposed anything, or nothing acceptable. `failed`: the contractor has. */
export type Outcome<Result> =
  | { readonly status: "done"; readonly contractor: string; readonly result: Result }
  | { readonly status: "failed"; readonly contractor: string; readonly error: string }
  | { readonly status: "unawarded" };

/** Options of {@link contractNet}. */
export interface ContractNetOptions<
  Task extends z.ZodType,
  Proposal extends z.ZodType,
  Result extends z.ZodType,
> {
  /** The graph's name. Default `contract-net`. */
  readonly name?: string;
  readonly version?: string;
  readonly task: Task;
  readonly proposal: Proposal;
  readonly result: Result;
  /** Who is called upon, by name. */
  readonly contractors: Readonly<
    Record<string, Contractor<z.output<Task>, z.output<Proposal>, z.output<Result>>>
  >;
  /** For proposals: who has not answered by then is out. It counts from when it is asked, and anew if the process dies meanwhile. Losers are told within it. */
  readonly deadline: Duration;
  /** Whose proposal is accepted; undefined: nobody's. Is not asked when there are none. */
  readonly award: (
    proposals: readonly Proposed<z.output<Proposal>>[],
    context: NodeContext,
  ) => string | undefined | Promise<string | undefined>;
  /** For performing. Default: one attempt. */
  readonly retry?: RetryPolicy;
  /** Of one attempt at performing. Default: none. */
  readonly timeout?: Duration;
}

/** Whether a loser could be told. */
export interface Rejection {
  readonly contractor: string;
  readonly told: boolean;
}

/** The channels of {@link contractNet}. A run is started with `task`. */
export type ContractNetChannels<
  Task extends z.ZodType,
  Proposal extends z.ZodType,
  Result extends z.ZodType,
> = {
  readonly task: Task;
  readonly bids: Collected<Bid<z.output<Proposal>>>;
  readonly rejections: Collected<Rejection>;
  readonly outcome: z.ZodType<Outcome<z.output<Result>> | null>;
};

/**
 * FIPA's Contract Net: a call for proposals to all contractors, their bids until a deadline, an award, and the result or failure of
 * whoever was awarded the task. The others that have proposed are told. A contractor that throws or is late is out, and the run goes on.
 *
 * Specification: http://www.fipa.org/specs/fipa00029/SC00029H.html
 */
export function contractNet<
  Task extends z.ZodType,
  Proposal extends z.ZodType,
  Result extends z.ZodType,
>(
  options: ContractNetOptions<Task, Proposal, Result>,
): PatternGraph<ContractNetChannels<Task, Proposal, Result>> {
  const graph = build(options);
  return graph as unknown as PatternGraph<ContractNetChannels<Task, Proposal, Result>>;
}

type AnyOptions = ContractNetOptions<z.ZodType, z.ZodType, z.ZodType>;
type AnyChannels = ContractNetChannels<z.ZodType, z.ZodType, z.ZodType>;

const Asked = z.object({ contractor: z.string(), task: z.unknown() });
const Told = Asked.extend({ proposal: z.unknown() });
const Proposals = (proposal: z.ZodType) =>
  z.discriminatedUnion("status", [
    z.object({ contractor: z.string(), status: z.literal("proposed"), proposal }),
    z.object({ contractor: z.string(), status: z.enum(["refused", "late"]) }),
    z.object({ contractor: z.string(), status: z.literal("failed"), error: z.string() }),
  ]) as z.ZodType<Bid<unknown>, Bid<unknown>>;
const Outcomes = (result: z.ZodType) =>
  z.discriminatedUnion("status", [
    z.object({ status: z.literal("done"), contractor: z.string(), result }),
    z.object({ status: z.literal("failed"), contractor: z.string(), error: z.string() }),
    z.object({ status: z.literal("unawarded") }),
  ]) as z.ZodType<Outcome<unknown>>;
const Rejections = z.object({ contractor: z.string(), told: z.boolean() });

function build(options: AnyOptions): PatternGraph<AnyChannels> {
  const { name = "contract-net", version = "0.0.0", contractors, deadline } = options;
  const names = Object.keys(contractors);
  demandCount(name, "the number of contractors", names.length);
  const { retry, timeout } = options;
  const graph: PatternGraph<AnyChannels> = new StateGraph(
    {
      task: options.task,
      bids: collected(Proposals(options.proposal)),
      rejections: collected(Rejections),
      outcome: Outcomes(options.result).nullable().default(null),
    },
    { name, version },
  );
  graph.addNode(
    "call",
    ({ task }) =>
      new Command({
        update: { bids: null, rejections: null, outcome: null },
        goto: names.map((contractor) => new Send("bid", { contractor, task })),
      }),
    { ends: ["bid"] },
  );
  graph.addNode(
    "bid",
    async ({ contractor, task }, context) => {
      const proposal = await contractors[contractor]!.bid(task, context);
      return {
        bids: [
          proposal === undefined
            ? { contractor, status: "refused" }
            : { contractor, status: "proposed", proposal },
        ],
      };
    },
    {
      input: Asked,
      timeout: deadline,
      failures: {
        instead: ({ code, message }, input) => {
          const { contractor } = input as z.output<typeof Asked>;
          return {
            bids: [
              code === "TIMEOUT"
                ? { contractor, status: "late" }
                : { contractor, status: "failed", error: message },
            ],
          };
        },
      },
    },
  );
  graph.addNode("award", (state, context) => awarding(options, state, context), {
    ends: ["perform", "reject", END],
  });
  graph.addNode(
    "perform",
    async ({ contractor, task, proposal }, context) => {
      const result = await contractors[contractor]!.perform({ task, proposal }, context);
      return { outcome: { status: "done", contractor, result } };
    },
    {
      input: Told,
      ...(retry === undefined ? {} : { retry }),
      ...(timeout === undefined ? {} : { timeout }),
      failures: {
        instead: ({ message }, input) => {
          const { contractor } = input as z.output<typeof Told>;
          return { outcome: { status: "failed", contractor, error: message } };
        },
      },
    },
  );
  graph.addNode(
    "reject",
    async ({ contractor, task, proposal }, context) => {
      await contractors[contractor]!.rejected?.({ task, proposal }, context);
      return { rejections: [{ contractor, told: true }] };
    },
    {
      input: Told,
      timeout: deadline,
      retry: { attempts: 3 },
      failures: {
        instead: (_, input) => {
          const { contractor } = input as z.output<typeof Told>;
          return { rejections: [{ contractor, told: false }] };
        },
      },
    },
  );
  graph.addEdge(START, "call").addEdge("bid", "award");
  graph.addEdge("perform", END).addEdge("reject", END);
  return graph;
}

/** Accepts one proposal and rejects the others. */
async function awarding(
  { award }: AnyOptions,
  { task, bids }: { readonly task: unknown; readonly bids: readonly Bid<unknown>[] },
  context: NodeContext,
): Promise<Command<UpdateOf<AnyChannels>>> {
  const proposals = bids.filter((bid) => bid.status === "proposed");
  const winner = proposals.length === 0 ? undefined : await award(proposals, context);
  const won = proposals.find(({ contractor }) => contractor === winner);
  if (winner !== undefined && won === undefined) {
    throw new MeshError("INVALID_OUTPUT", `${winner} was awarded the task and has not proposed`);
  }
  const send = (node: string, { contractor, proposal }: Proposed<unknown>) =>
    new Send(node, { contractor, task, proposal });
  const losers = proposals.filter((bid) => bid !== won).map((bid) => send("reject", bid));
  if (won !== undefined) return new Command({ goto: [send("perform", won), ...losers] });
  return new Command({ update: { outcome: { status: "unawarded" } }, goto: losers });
}
