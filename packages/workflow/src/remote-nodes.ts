import {
  MeshError,
  escapeKey,
  isMeshError,
  type Agent,
  type Capability,
  type Command,
  type Duration,
  type Entity,
} from "@plexus/core";
import { z } from "zod";
import type { NodeContext } from "./context.ts";
import type { NodeFunction } from "./node.ts";

/** What calls agents: a mesh. */
export interface Caller {
  invoke(
    agent: string,
    capability: string,
    input: unknown,
    options?: { readonly timeout?: Duration; readonly signal?: AbortSignal },
  ): Promise<unknown>;
}

/** What submits durable tasks: a mesh. Equal keys are one task. */
export interface Submitter {
  submitByName(
    agent: string,
    capability: string,
    input: unknown,
    options?: { readonly key?: string; readonly deadline?: Duration },
  ): Promise<{
    result(options?: {
      readonly timeout?: Duration;
      readonly signal?: AbortSignal;
    }): Promise<unknown>;
    cancel(): Promise<boolean>;
  }>;
}

/** What reaches entities: a mesh. A command with an id that its key remembers is not executed again. */
export interface Commander {
  get(entity: Entity, key: string): unknown;
}

type Commands = Record<
  string,
  (
    input: unknown,
    options: { readonly id: string; readonly signal: AbortSignal; readonly timeout?: Duration },
  ) => Promise<unknown>
>;

/** How a node's state becomes the input of what it calls, and the answer an update. */
interface Mapping<In extends z.ZodType, Out extends z.ZodType, State, Update> {
  readonly input: (state: State) => z.input<In>;
  readonly output: (answer: z.output<Out>, state: State) => Update;
}

type Answer<A extends Agent, K extends keyof A["capabilities"]> = z.output<
  A["capabilities"][K]["output"]
>;

const LONGEST: Duration = "365d";

/**
 * A node that calls a capability of an agent. Whoever resumes the run calls it again if no answer was recorded, so what must not
 * happen twice is a durable task: {@link taskNode}.
 *
 * @example
 * graph.addNode("score", agentNode(mesh, Analyst, "score", {
 *   input: ({ window }: { window: Window }) => window,
 *   output: (score) => ({ score }),
 * }));
 */
export function agentNode<
  A extends Agent,
  K extends keyof A["capabilities"] & string,
  State,
  Update,
>(
  caller: Caller,
  contract: A,
  capability: K,
  options: Mapping<A["capabilities"][K]["input"], A["capabilities"][K]["output"], State, Update> & {
    readonly timeout?: Duration;
  },
): NodeFunction<Update, State> {
  const spec = demandCapability(contract, capability);
  const { timeout } = options;
  return async (state, { signal }) => {
    const answer = await caller.invoke(contract.name, capability, options.input(state), {
      signal,
      ...(timeout === undefined ? {} : { timeout }),
    });
    const result = checked(`${contract.name}.${capability}`, spec.output, answer);
    return options.output(result as Answer<A, K>, state);
  };
}

/**
 * A node that submits a durable task and waits for its result. The task belongs to the attempt: whoever resumes the run waits for the
 * same one, and one that has ended meanwhile is not executed again. It is canceled with the run.
 */
export function taskNode<
  A extends Agent,
  K extends keyof A["capabilities"] & string,
  State,
  Update,
>(
  submitter: Submitter,
  contract: A,
  capability: K,
  options: Mapping<A["capabilities"][K]["input"], A["capabilities"][K]["output"], State, Update> & {
    readonly deadline?: Duration;
  },
): NodeFunction<Update, State> {
  const spec = demandCapability(contract, capability);
  if (spec.durable === undefined) {
    throw new MeshError(
      "INVALID_CONTRACT",
      `${contract.name}.${capability} cannot be a task: declare it \`durable: true\` in the contract.`,
    );
  }
  const { deadline } = options;
  return async (state, context) => {
    const { signal } = context;
    const task = await submitter.submitByName(contract.name, capability, options.input(state), {
      key: keyOf(context),
      ...(deadline === undefined ? {} : { deadline }),
    });
    try {
      const answer = await task.result({ signal, timeout: LONGEST });
      const result = checked(`${contract.name}.${capability}`, spec.output, answer);
      return options.output(result as Answer<A, K>, state);
    } catch (error) {
      // Not when this process has lost the run: its next owner waits for the same task.
      if (signal.aborted && !isMeshError(signal.reason, "FENCED")) await task.cancel();
      throw error;
    }
  };
}

/** A node that gives a command to a key of an entity. Whoever resumes the run gives it again under the same id, which executes it once. */
export function commandNode<
  E extends Entity,
  K extends keyof E["commands"] & string,
  State,
  Update,
>(
  commander: Commander,
  contract: E,
  command: K,
  options: Mapping<E["commands"][K]["input"], E["commands"][K]["output"], State, Update> & {
    readonly key: (state: State) => string;
    readonly timeout?: Duration;
  },
): NodeFunction<Update, State> {
  const spec: Command | undefined = contract.commands[command];
  if (spec === undefined) {
    throw new MeshError("NO_CAPABILITY", `Entity ${contract.name} has no command ${command}.`);
  }
  const { timeout } = options;
  return async (state, context) => {
    const client = commander.get(contract, options.key(state)) as Commands;
    const answer = await client[command]!(options.input(state), {
      id: keyOf(context),
      signal: context.signal,
      ...(timeout === undefined ? {} : { timeout }),
    });
    return options.output(answer as z.output<E["commands"][K]["output"]>, state);
  };
}

/** The same for whoever executes this attempt: later ones are to try anew. */
function keyOf({ execution, attempt }: NodeContext): string {
  return escapeKey(`${execution}/${attempt}`);
}

function demandCapability(contract: Agent, capability: string): Capability {
  const spec = contract.capabilities[capability];
  if (spec !== undefined) return spec;
  throw new MeshError("NO_CAPABILITY", `Agent ${contract.name} has no capability ${capability}.`);
}

function checked<Out extends z.ZodType>(who: string, schema: Out, answer: unknown): z.output<Out> {
  const parsed = schema.safeParse(answer);
  if (parsed.success) return parsed.data;
  throw new MeshError("INVALID_OUTPUT", `${who}: ${z.prettifyError(parsed.error)}`);
}
