import type {
  JSONValue,
  LanguageModelV4CallOptions,
  LanguageModelV4Message,
  LanguageModelV4ToolCallPart,
  LanguageModelV4ToolChoice,
  SharedV4ProviderOptions,
} from "@ai-sdk/provider";
import type { AttemptOptions, Message, ModelRequest, ToolCall } from "./model.ts";

/** A request in the AI SDK's terms. */
export function toCallOptions(
  request: ModelRequest,
  { signal, idempotencyKey }: AttemptOptions,
): LanguageModelV4CallOptions {
  const { tools, toolChoice, schema, maxTokens, temperature, seed } = request;
  return {
    prompt: request.messages.map(toPrompt),
    abortSignal: signal,
    ...(maxTokens === undefined ? {} : { maxOutputTokens: maxTokens }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(seed === undefined ? {} : { seed }),
    ...(schema === undefined ? {} : { responseFormat: { type: "json", schema, name: "answer" } }),
    ...(tools === undefined || tools.length === 0
      ? {}
      : {
          tools: tools.map(({ name, description, input }) => ({
            type: "function" as const,
            name,
            description,
            inputSchema: input,
          })),
          toolChoice: { type: toolChoice ?? "auto" } satisfies LanguageModelV4ToolChoice,
        }),
    ...(idempotencyKey === undefined ? {} : { headers: { "Idempotency-Key": idempotencyKey } }),
  };
}

function toCallPart({ id, name, input, meta }: ToolCall): LanguageModelV4ToolCallPart {
  const part = { type: "tool-call" as const, toolCallId: id, toolName: name, input };
  return meta === undefined ? part : { ...part, providerOptions: meta as SharedV4ProviderOptions };
}

function toPrompt(message: Message): LanguageModelV4Message {
  switch (message.role) {
    case "system":
      return { role: "system", content: message.text };
    case "user":
      return { role: "user", content: [{ type: "text", text: message.text }] };
    case "assistant": {
      const calls = (message.toolCalls ?? []).map(toCallPart);
      const text = message.text === "" ? [] : [{ type: "text" as const, text: message.text }];
      return { role: "assistant", content: [...text, ...calls] };
    }
    default:
      return {
        role: "tool",
        content: message.results.map(({ id, name, output, failed }) => ({
          type: "tool-result",
          toolCallId: id,
          toolName: name,
          output: failed
            ? { type: "error-text", value: String(output) }
            : { type: "json", value: (output ?? null) as JSONValue },
        })),
      };
  }
}
