import type { z } from "zod";
import type {
  LangGraphChunk,
  LangGraphResume,
  LangGraphState,
  langGraphContract,
} from "./langgraph-contract.ts";
import {
  LangGraphRuns,
  type Call,
  type LangGraph,
  type LangGraphOptions,
  type StartRequest,
  type StateRequest,
  type Watched,
} from "./langgraph-runs.ts";

type Contract<Input extends z.ZodType, Output extends z.ZodType> = ReturnType<
  typeof langGraphContract<Input, Output>
>;
type Capabilities<Input extends z.ZodType, Output extends z.ZodType> = Contract<
  Input,
  Output
>["capabilities"];

/**
 * What hosts a compiled LangGraph.js graph: `mesh.host(contract, langGraphHandlers(contract, graph))`. A run ends with its caller's
 * timeout or cancellation. Its errors are those of the mesh (`STEP_LIMIT`, `TIMEOUT`, `INVALID_INPUT`, `INVALID_OUTPUT`, `INVALID_CONTRACT`, `AGENT_FAILED`),
 * and besides: `NO_RUN` when there is nothing to resume, `CONFLICT` while this host executes another call on the thread,
 * `NO_CAPABILITY` for `resume` and `getState` of a graph without a checkpointer.
 */
export function langGraphHandlers<Input extends z.ZodType, Output extends z.ZodType>(
  { name }: Contract<Input, Output>,
  graph: LangGraph,
  options: LangGraphOptions = {},
) {
  type Start = z.output<Capabilities<Input, Output>["invoke"]["input"]>;
  type StartWatched = z.output<Capabilities<Input, Output>["stream"]["input"]>;
  type Result = z.input<Capabilities<Input, Output>["invoke"]["output"]>;
  type Stream = AsyncGenerator<LangGraphChunk, Result>;
  const runs = new LangGraphRuns(name, graph, options);
  return {
    invoke: (start: Start, call: Call): Promise<Result> =>
      lastOf(runs.start(start as StartRequest, call) as Stream),
    resume: (request: LangGraphResume, call: Call): Promise<Result> =>
      lastOf(runs.resume(request, call) as Stream),
    stream: (start: StartWatched, call: Call): Stream =>
      runs.start(start as StartRequest, call) as Stream,
    streamResume: (request: LangGraphResume & Watched, call: Call): Stream =>
      runs.resume(request, call) as Stream,
    getState: ({ thread, checkpoint }: StateRequest): Promise<LangGraphState> =>
      runs.state(thread, checkpoint),
  };
}

async function lastOf<Result>(stream: AsyncGenerator<unknown, Result>): Promise<Result> {
  for (;;) {
    const next = await stream.next();
    if (next.done) return next.value;
  }
}
