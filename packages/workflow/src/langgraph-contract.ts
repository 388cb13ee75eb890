import { agent, type Duration } from "@plexus/core";
import { z } from "zod";

/** What can be watched of a run: LangGraph's stream modes, as far as what they tell can travel. */
const Mode = z.enum(["values", "updates", "messages", "custom", "tasks"]);

/** A mode of {@link LangGraphChunk}. */
export type LangGraphMode = z.output<typeof Mode>;

const Question = z.object({
  id: z.string().describe("Names the interrupt in resume"),
  value: z.unknown().describe("What the node has asked"),
});

const Limit = z.number().int().min(1).describe("Steps after which the run fails with STEP_LIMIT");

const Resume = z.object({
  thread: z.string().min(1),
  resume: z.unknown().optional().describe("The answer; without one, the run goes on where it is"),
  interrupt: z.string().optional().describe("Which interrupt is answered, if several are open"),
  recursionLimit: Limit.optional(),
});

/** A call that goes on with a run. */
export type LangGraphResume = z.output<typeof Resume>;

const Chunk = z.object({
  mode: Mode,
  /** Of the subgraph it is from: what LangGraph calls the namespace; empty for the graph itself. */
  path: z.array(z.string()),
  data: z.unknown(),
});

/** A piece of a run's stream. */
export type LangGraphChunk = z.output<typeof Chunk>;

const Watch = {
  mode: z.union([Mode, z.array(Mode).min(1)]).default("updates"),
  subgraphs: z.boolean().default(false).describe("Whether subgraphs are watched as well"),
};

const State = z.object({
  thread: z.string(),
  checkpoint: z.string(),
  at: z.string().optional().describe("When it was stored, as ISO 8601"),
  values: z.unknown(),
  next: z.array(z.string()).describe("Nodes that are due; none: the run is over"),
  interrupts: z.array(Question),
});

/** A thread's state at a checkpoint. */
export type LangGraphState = z.output<typeof State>;

/**
 * The contract of a LangGraph.js graph as an agent: `invoke`, `resume` (an answer to an interrupt, or a run that has failed or was left),
 * `stream` and `streamResume` (the same, watched) and `getState`. `input` and `output` are what the graph takes and gives, as it travels: a LangChain
 * message is `{ type: "human", content: "…" }`.
 *
 * @example
 * const Writer = langGraphContract("writer", { input: z.object({ topic: z.string() }), output: z.object({ text: z.string() }) });
 * const { output } = await mesh.get(Writer).invoke({ input: { topic: "cats" }, thread: "t-1" });
 */
export function langGraphContract<Input extends z.ZodType, Output extends z.ZodType>(
  name: string,
  spec: {
    readonly description?: string;
    readonly version?: string;
    readonly input: Input;
    readonly output: Output;
    /** How long a caller of `invoke`, `resume` or `stream` waits who does not say. Default 30 s. */
    readonly timeout?: Duration;
  },
) {
  const { description, version, input, output, timeout } = spec;
  const Start = z.object({
    input,
    thread: z.string().min(1).optional().describe("Default: a new one"),
    recursionLimit: Limit.optional(),
  });
  const Result = z.discriminatedUnion("status", [
    z.object({ status: z.literal("completed"), thread: z.string(), output }),
    z.object({
      status: z
        .literal("waiting")
        .describe("For answers, or at a breakpoint if there are no interrupts"),
      thread: z.string(),
      values: z.unknown().describe("The state as far as it is"),
      interrupts: z.array(Question),
    }),
  ]);
  const wait = timeout === undefined ? {} : { timeout };
  return agent(name, {
    ...(description === undefined ? {} : { description }),
    ...(version === undefined ? {} : { version }),
    capabilities: {
      invoke: {
        description: "Runs the graph until it ends or asks",
        input: Start,
        output: Result,
        ...wait,
      },
      resume: {
        description: "Answers an interrupt, or goes on with a run that has failed or was left",
        input: Resume,
        output: Result,
        ...wait,
      },
      stream: {
        description: "Like invoke, and tells what happens meanwhile",
        input: Start.extend(Watch),
        output: Result,
        stream: Chunk,
        ...wait,
      },
      streamResume: {
        description: "Like resume, and tells what happens meanwhile",
        input: Resume.extend(Watch),
        output: Result,
        stream: Chunk,
        ...wait,
      },
      getState: {
        description: "The state of a thread, now or at a checkpoint",
        input: z.object({ thread: z.string().min(1), checkpoint: z.string().optional() }),
        output: State,
        idempotent: true,
      },
    },
  });
}
