import { z } from "zod";
import { messages, type Channel } from "../channel.ts";
import { newId } from "../id.ts";

/** A call of a tool, or of an agent, that an assistant's message holds. */
export interface ToolCall {
  /** Names the call for its result. What is made here has at most 40 characters of `[A-Za-z0-9_]`, as OpenAI and Anthropic demand. */
  readonly id: string;
  readonly name: string;
  readonly input: unknown;
  /** What a provider wants to have back with the call. */
  readonly meta?: Record<string, unknown>;
}

/** What a call came to. */
export interface ToolResult {
  readonly id: string;
  readonly name: string;
  readonly output: unknown;
  /** It failed, and `output` says why. */
  readonly failed?: boolean;
}

interface Common {
  readonly id: string;
  /** Who says it. */
  readonly name?: string;
  /** Whose working it is: others are shown it only where sharing is `full`. */
  readonly scratch?: string;
}

/** One message of a conversation, in the form in which models are asked. */
export type ChatMessage = Common &
  (
    | { readonly role: "system" | "user"; readonly text: string }
    | {
        readonly role: "assistant";
        readonly text: string;
        readonly toolCalls?: readonly ToolCall[];
      }
    | { readonly role: "tool"; readonly results: readonly ToolResult[] }
  );

type WithoutId<M> = M extends ChatMessage ? Omit<M, "id"> & { readonly id?: string } : never;

/** A message that is given an id if it has none. */
export type NewChatMessage = WithoutId<ChatMessage>;

const common = {
  id: z.string().min(1).optional(),
  name: z.string().optional(),
  scratch: z.string().optional(),
};
const call = { id: z.string().min(1), name: z.string().min(1) };
const Call = z.object({
  ...call,
  input: z.unknown(),
  meta: z.record(z.string(), z.unknown()).optional(),
});
const Result = z.object({ ...call, output: z.unknown(), failed: z.boolean().optional() });
const OneMessage = z
  .discriminatedUnion("role", [
    z.object({ ...common, role: z.enum(["system", "user"]), text: z.string() }),
    z.object({
      ...common,
      role: z.literal("assistant"),
      text: z.string(),
      toolCalls: z.array(Call).optional(),
    }),
    z.object({ ...common, role: z.literal("tool"), results: z.array(Result).min(1) }),
  ])
  .transform((message) => ({ ...message, id: message.id ?? newId() }) as ChatMessage);

const Conversation = z.array(OneMessage).superRefine((list, context) => {
  const problem = unpaired(list);
  if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
});

/**
 * The {@link messages} channel of agents that talk, in a form that providers accept: an update in which a tool call is not directly
 * followed by its tool message, with the same ids, is refused.
 */
export function conversation(): Channel<readonly ChatMessage[], readonly NewChatMessage[]> {
  return { ...messages(), schema: Conversation } as unknown as Channel<
    readonly ChatMessage[],
    readonly NewChatMessage[]
  >;
}

/** What is wrong with the calls and results of a conversation, if anything is. */
function unpaired(list: readonly NewChatMessage[]): string | undefined {
  let open: readonly ToolCall[] = [];
  for (const message of list) {
    if (message.role === "tool") {
      const ids = new Set(message.results.map(({ id }) => id));
      const missing = open.find(({ id }) => !ids.has(id));
      if (missing !== undefined) return unanswered(missing);
      const stray = message.results.find(({ id }) => !open.some((one) => one.id === id));
      if (stray !== undefined) return `nothing has called ${stray.name} as ${stray.id}`;
      open = [];
      continue;
    }
    if (open[0] !== undefined) return unanswered(open[0]);
    if (message.role === "assistant") open = message.toolCalls ?? [];
  }
  return open[0] && unanswered(open[0]);
}

function unanswered({ name, id }: ToolCall): string {
  return `the call of ${name} as ${id} is not followed by a tool message with its result`;
}

/** True for a message that holds calls: the next one is their tool message. */
export function calls(message: NewChatMessage): boolean {
  return message.role === "assistant" && (message.toolCalls?.length ?? 0) > 0;
}

/** What was last said by an agent, or asked by a user: the text of the last such message, "" if there is none. */
export function lastText(
  list: readonly ChatMessage[],
  role: "assistant" | "user" = "assistant",
): string {
  const last = list.findLast((message) => message.role === role);
  return last === undefined || last.role === "tool" ? "" : last.text;
}
