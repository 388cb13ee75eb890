import type { StubReply } from "./model-behaviour.ts";

/** What a model is asked, in whatever wire format it came. */
export type StubRequest = {
  readonly wire: "openai" | "anthropic" | "google";
  readonly model: string;
  readonly stream: boolean;
  /** The texts of all messages, each with its role. */
  readonly messages: readonly { readonly role: string; readonly text: string }[];
  readonly tools: readonly string[];
  /** The JSON schema that the answer must match, if one was given. */
  readonly schema?: unknown;
  readonly temperature?: number;
  readonly seed?: number;
  readonly maxTokens?: number;
  /** The request's body as it came. */
  readonly body: Record<string, unknown>;
};

/** A reply with nothing left out. */
export type FullReply = {
  readonly id: string;
  readonly model: string;
  readonly text: string;
  readonly toolCalls: readonly {
    readonly id: string;
    readonly name: string;
    readonly input: unknown;
  }[];
  readonly usage: { readonly inputTokens: number; readonly outputTokens: number };
  readonly finishReason: NonNullable<StubReply["finishReason"]>;
};

/** One provider's HTTP format. */
export type ModelWire = {
  /** The request, or undefined when this path or body is not of this format. */
  read(path: string, body: Record<string, unknown>): StubRequest | undefined;
  /** The body of an answer that is not streamed. */
  whole(reply: FullReply): unknown;
  /** The server-sent events of an answer that is, and how many of its last ones say that it is complete. */
  events(reply: FullReply): { readonly events: readonly string[]; readonly closing: number };
  /** An error's body; in a stream, that of an error event. */
  error(status: number, message: string): unknown;
};

const CHARACTERS_PER_TOKEN = 4;

/** Fills in what a reply leaves out: a text that says it is a stub's, or the smallest value that matches the schema. */
export function completeReply(request: StubRequest, reply: StubReply, id: string): FullReply {
  const toolCalls = (reply.toolCalls ?? []).map((call, index) => ({
    id: call.id ?? `call_${id}_${index}`,
    name: call.name,
    input: call.input,
  }));
  const text = reply.text ?? defaultText(request, reply, toolCalls.length > 0);
  const asked = request.messages.reduce((sum, message) => sum + message.text.length, 0);
  const answered = text.length + toolCalls.reduce((sum, call) => sum + json(call.input).length, 0);
  return {
    id,
    model: request.model,
    text,
    toolCalls,
    usage: reply.usage ?? { inputTokens: tokens(asked), outputTokens: tokens(answered) },
    finishReason: reply.finishReason ?? (toolCalls.length > 0 ? "tool-calls" : "stop"),
  };
}

/** A text in the pieces in which a stream sends it: words, with the space that follows. */
export function pieces(text: string): string[] {
  return text.match(/\s*\S+\s*/g) ?? (text === "" ? [] : [text]);
}

/** The text of a message's content: a string, or a list of parts with texts in them. */
export function contentText(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content))
    return content === undefined || content === null ? "" : json(content);
  return content
    .map((part: unknown) => {
      if (typeof part === "object" && part !== null && "text" in part) return String(part.text);
      return json(part);
    })
    .join("\n");
}

export function json(value: unknown): string {
  return JSON.stringify(value) ?? "null";
}

function tokens(characters: number): number {
  return Math.ceil(characters / CHARACTERS_PER_TOKEN);
}

function defaultText(request: StubRequest, reply: StubReply, callsTools: boolean): string {
  if (reply.json !== undefined) return json(reply.json);
  if (callsTools) return "";
  if (request.schema !== undefined) return json(smallest(request.schema));
  const last = request.messages.findLast((message) => message.role === "user")?.text ?? "";
  return `[stub model] You said: ${last}`;
}

/** The smallest value that matches a JSON schema of the kinds that zod makes. */
function smallest(schema: unknown): unknown {
  const own = schema as Record<string, unknown>;
  if ("const" in own) return own["const"];
  if (Array.isArray(own["enum"])) return own["enum"][0];
  if ("default" in own) return own["default"];
  const alternatives = own["anyOf"] ?? own["oneOf"];
  if (Array.isArray(alternatives)) return smallest(alternatives[0]);
  const type = Array.isArray(own["type"]) ? own["type"][0] : own["type"];
  if (type === "object") {
    const properties = Object.entries((own["properties"] ?? {}) as Record<string, unknown>);
    return Object.fromEntries(properties.map(([name, inner]) => [name, smallest(inner)]));
  }
  if (type === "array") {
    const count = (own["minItems"] as number | undefined) ?? 0;
    return Array.from({ length: count }, () => smallest(own["items"] ?? {}));
  }
  if (type === "number" || type === "integer") return own["minimum"] ?? 0;
  if (type === "boolean") return false;
  if (type === "null") return null;
  return "stub".padEnd(Number(own["minLength"] ?? 0), "-");
}
