/** A call of a tool that a model asks for. */
export interface ToolCall {
  readonly id: string;
  readonly name: string;
  readonly input: unknown;
  /** What the provider wants to have back with the call. */
  readonly meta?: Record<string, unknown>;
}

/** What a tool call came to. */
export interface ToolResult {
  readonly id: string;
  readonly name: string;
  readonly output: unknown;
  /** The tool failed, and `output` says why. */
  readonly failed?: boolean;
}

/** One turn of a conversation. */
export type Message =
  | { readonly role: "system" | "user"; readonly text: string }
  | { readonly role: "assistant"; readonly text: string; readonly toolCalls?: readonly ToolCall[] }
  | { readonly role: "tool"; readonly results: readonly ToolResult[] };

/** A JSON Schema. */
export type JsonSchema = Record<string, unknown>;

/** A tool as a model sees it. */
export interface ToolSpec {
  readonly name: string;
  readonly description: string;
  readonly input: JsonSchema;
}

/** What a model is asked. Plain data: it can travel, be hashed and be recorded. */
export interface ModelRequest {
  readonly messages: readonly Message[];
  readonly tools?: readonly ToolSpec[];
  readonly toolChoice?: "auto" | "none" | "required";
  /** The answer is JSON that matches this. */
  readonly schema?: JsonSchema;
  /** Upper bound of the answer, in tokens. */
  readonly maxTokens?: number;
  readonly temperature?: number;
  readonly seed?: number;
}

/** Tokens that a call took. */
export interface Usage {
  /** All of them, cached ones included. */
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Those of the input that the provider had cached. */
  readonly cachedTokens: number;
}

export type FinishReason = "stop" | "length" | "tool-calls" | "content-filter" | "other";

/** What a model answers. */
export interface ModelReply {
  readonly text: string;
  readonly toolCalls: readonly ToolCall[];
  readonly usage: Usage;
  readonly finishReason: FinishReason;
}

/** A piece of an answer that is streamed; the last one holds all of it. */
export type ModelPart =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "end"; readonly reply: ModelReply };

/** How one attempt is made. */
export interface AttemptOptions {
  readonly signal: AbortSignal;
  /** Sent as `Idempotency-Key`, for gateways that know it. */
  readonly idempotencyKey?: string;
}

/** One model at one provider. It tries once: whatever fails is thrown as it is, and somebody else decides. */
export interface Model {
  /** Resolves when what it needs is loaded. */
  load(): Promise<unknown>;
  generate(request: ModelRequest, options: AttemptOptions): Promise<ModelReply>;
  /** Ends with one `end`. */
  stream(request: ModelRequest, options: AttemptOptions): AsyncIterable<ModelPart>;
}
