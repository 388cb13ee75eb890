import type {
  JSONValue,
  LanguageModelV4CallOptions,
  LanguageModelV4Message,
  LanguageModelV4ToolChoice,
  SharedV4ProviderOptions,
} from "@ai-sdk/provider";
import type { AttemptOptions, Message, ModelRequest } from "./model.ts";

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

function toPrompt(message: Message): LanguageModelV4Message {
  switch (message.role) {
    case "system":
      return { role: "system", content: message.text };
    case "user":
      return { role: "user", content: [{ type: "text", text: message.text }] };
    case "assistant": {
      const calls = (message.toolCalls ?? []).map(({ id, name, input, meta }) => ({
        type: "tool-call" as const,
        toolCallId: id,
        toolName: name,
        input,
        ...(meta === undefined ? {} : { providerOptions: meta as SharedV4ProviderOptions }),
      }));
      const text = message.text === "" ? [] : [{ type: "text" as const, text: message.text }];
      return { role: "assistant", content: [...text, ...calls] };
    }
    case "tool":
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
