import {
  contentText,
  json,
  pieces,
  type FullReply,
  type ModelWire,
  type StubRequest,
} from "./model-request.ts";

type Message = { role: string; content?: unknown };
type Tool = { name?: string; input_schema?: unknown };
type Output = { format?: { schema?: unknown } };

const reasons = {
  stop: "end_turn",
  length: "max_tokens",
  "tool-calls": "tool_use",
  "content-filter": "refusal",
} as const;
const statusTypes: Record<number, string> = {
  401: "authentication_error",
  403: "permission_error",
  429: "rate_limit_error",
  529: "overloaded_error",
};

/** Anthropic's messages (https://docs.anthropic.com/en/api/messages). */
export const anthropicWire: ModelWire = {
  read(path, body): StubRequest | undefined {
    if (!path.endsWith("/messages")) return undefined;
    const system =
      body["system"] === undefined ? [] : [{ role: "system", content: body["system"] }];
    const tools = (body["tools"] ?? []) as Tool[];
    const schema = (body["output_config"] as Output | undefined)?.format?.schema;
    return {
      wire: "anthropic",
      model: String(body["model"]),
      stream: body["stream"] === true,
      messages: [...system, ...((body["messages"] ?? []) as Message[])].map((message) => ({
        role: message.role,
        text: contentText(message.content),
      })),
      tools: tools.map((tool) => tool.name ?? ""),
      ...(schema === undefined ? {} : { schema }),
      ...(typeof body["temperature"] === "number" ? { temperature: body["temperature"] } : {}),
      ...(typeof body["max_tokens"] === "number" ? { maxTokens: body["max_tokens"] } : {}),
      body,
    };
  },

  whole(reply) {
    const content = [
      ...(reply.text === "" ? [] : [{ type: "text", text: reply.text }]),
      ...reply.toolCalls.map(({ id, name, input }) => ({ type: "tool_use", id, name, input })),
    ];
    return {
      ...head(reply),
      content,
      stop_reason: reasons[reply.finishReason],
      usage: usage(reply),
    };
  },

  events(reply) {
    const blocks = [
      ...(reply.text === ""
        ? []
        : [
            {
              start: { type: "text", text: "" },
              deltas: pieces(reply.text).map((text) => ({ type: "text_delta", text })),
            },
          ]),
      ...reply.toolCalls.map(({ id, name, input }) => ({
        start: { type: "tool_use", id, name, input: {} },
        deltas: [{ type: "input_json_delta", partial_json: json(input) }],
      })),
    ];
    const opening = { ...head(reply), content: [], stop_reason: null };
    const used = { ...usage(reply), output_tokens: 1 };
    const end = { stop_reason: reasons[reply.finishReason], stop_sequence: null };
    return {
      events: [
        event("message_start", { message: { ...opening, usage: used } }),
        ...blocks.flatMap(({ start, deltas }, index) =>
          [
            event("content_block_start", { index, content_block: start }),
            deltas.map((delta) => event("content_block_delta", { index, delta })),
            event("content_block_stop", { index }),
          ].flat(),
        ),
        event("message_delta", { delta: end, usage: { output_tokens: reply.usage.outputTokens } }),
        event("message_stop", {}),
      ],
      closing: 2,
    };
  },

  error(status, text) {
    return { type: "error", error: { type: statusTypes[status] ?? "api_error", message: text } };
  },
};

function head({ id, model }: FullReply): object {
  return { id: `msg_${id}`, type: "message", role: "assistant", model, stop_sequence: null };
}

function usage({ usage: { inputTokens, outputTokens } }: FullReply): object {
  return { input_tokens: inputTokens, output_tokens: outputTokens };
}

function event(type: string, data: object): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`;
}
