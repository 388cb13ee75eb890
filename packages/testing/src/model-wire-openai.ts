import {
  contentText,
  json,
  pieces,
  type FullReply,
  type ModelWire,
  type StubRequest,
} from "./model-request.ts";

type Message = { role: string; content?: unknown; tool_calls?: unknown };
type Tool = { function?: { name?: string } };
type Format = { json_schema?: { schema?: unknown } };

const reasons = {
  stop: "stop",
  length: "length",
  "tool-calls": "tool_calls",
  "content-filter": "content_filter",
} as const;

/** OpenAI's chat completions, which most gateways speak (https://platform.openai.com/docs/api-reference/chat). */
export const openAiWire: ModelWire = {
  read(path, body): StubRequest | undefined {
    if (!path.endsWith("/chat/completions")) return undefined;
    const schema = (body["response_format"] as Format | undefined)?.json_schema?.schema;
    const maxTokens = body["max_completion_tokens"] ?? body["max_tokens"];
    return {
      wire: "openai",
      model: String(body["model"]),
      stream: body["stream"] === true,
      messages: ((body["messages"] ?? []) as Message[]).map((message) => ({
        role: message.role,
        text: contentText(message.content ?? message.tool_calls),
      })),
      tools: ((body["tools"] ?? []) as Tool[]).map((tool) => tool.function?.name ?? ""),
      ...(schema === undefined ? {} : { schema }),
      ...(typeof body["temperature"] === "number" ? { temperature: body["temperature"] } : {}),
      ...(typeof body["seed"] === "number" ? { seed: body["seed"] } : {}),
      ...(typeof maxTokens === "number" ? { maxTokens } : {}),
      body,
    };
  },

  whole(reply) {
    const calls = reply.toolCalls.map((call) => ({ ...toolCall(call), type: "function" }));
    const message = {
      role: "assistant",
      content: reply.text === "" ? null : reply.text,
      ...(calls.length === 0 ? {} : { tool_calls: calls }),
    };
    const choices = [{ index: 0, message, finish_reason: reasons[reply.finishReason] }];
    return { ...head(reply), object: "chat.completion", choices, usage: usage(reply) };
  },

  events(reply) {
    const chunk = (delta: object, finish: string | null = null): string =>
      event({
        ...head(reply),
        object: "chat.completion.chunk",
        choices: [{ index: 0, delta, finish_reason: finish }],
      });
    const calls = reply.toolCalls.flatMap((call, index) => {
      const { id, function: fn } = toolCall(call);
      return [
        chunk({
          tool_calls: [{ index, id, type: "function", function: { name: fn.name, arguments: "" } }],
        }),
        chunk({ tool_calls: [{ index, function: { arguments: fn.arguments } }] }),
      ];
    });
    return {
      events: [
        ...pieces(reply.text).map((content, i) =>
          chunk(i === 0 ? { role: "assistant", content } : { content }),
        ),
        ...calls,
        chunk({}, reasons[reply.finishReason]),
        event({
          ...head(reply),
          object: "chat.completion.chunk",
          choices: [],
          usage: usage(reply),
        }),
        "data: [DONE]\n\n",
      ],
      closing: 3,
    };
  },

  error(status, message) {
    return {
      error: { message, type: status === 429 ? "rate_limit_exceeded" : "stub_error", code: status },
    };
  },
};

function head({ id, model }: FullReply): object {
  return { id: `chatcmpl-${id}`, model, created: 0, system_fingerprint: "plexus_stub" };
}

function toolCall(call: FullReply["toolCalls"][number]) {
  return { id: call.id, function: { name: call.name, arguments: json(call.input) } };
}

function usage({ usage: { inputTokens, outputTokens } }: FullReply): object {
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
  };
}

function event(data: object): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}
