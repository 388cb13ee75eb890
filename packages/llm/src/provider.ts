import type {
  LanguageModelV4,
  LanguageModelV4Content,
  LanguageModelV4FinishReason,
  LanguageModelV4Usage,
} from "@ai-sdk/provider";
import { MeshError } from "@plexus/core";
import type { DeploymentSpec } from "./deployment-spec.ts";
import { Failure } from "./failure.ts";
import type {
  AttemptOptions,
  FinishReason,
  Model,
  ModelPart,
  ModelReply,
  ModelRequest,
  ToolCall,
  Usage,
} from "./model.ts";
import { toCallOptions } from "./prompt.ts";
import { toFailure } from "./provider-failure.ts";

const CHARACTERS_PER_TOKEN = 3; // a little more tokens than there are, when the provider does not say how many

/**
 * A model through the AI SDK. The provider's own module is loaded when it is needed, and asked at the level of the SDK's provider
 * specification: there is no retry, no middleware and no telemetry below the router.
 */
export function providerModel(spec: DeploymentSpec): Model {
  let loaded: Promise<LanguageModelV4> | undefined;
  const load = (): Promise<LanguageModelV4> => (loaded ??= open(spec));
  return {
    load,
    async generate(request, options) {
      const model = await load();
      try {
        const result = await model.doGenerate(toCallOptions(request, options));
        if (result.content.length === 0 && result.finishReason.raw === undefined) {
          throw new Failure("malformed", "the answer is empty.");
        }
        return toReply(request, result.content, result.usage, result.finishReason);
      } catch (error) {
        throw toFailure(error);
      }
    },
    stream: (request, options) => stream(load, request, options),
  };
}

async function open(spec: DeploymentSpec): Promise<LanguageModelV4> {
  const { provider = "openai-compatible", model, baseUrl, apiKey, headers } = spec;
  const own = {
    ...(baseUrl === undefined ? {} : { baseURL: baseUrl }),
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(headers === undefined ? {} : { headers }),
  };
  switch (provider) {
    case "anthropic": {
      const { createAnthropic } = await import("@ai-sdk/anthropic");
      return createAnthropic(own)(model);
    }
    case "google": {
      const { createGoogle } = await import("@ai-sdk/google");
      return createGoogle(own)(model);
    }
    default: {
      if (baseUrl === undefined) {
        throw new MeshError(
          "INVALID_CONTRACT",
          `Model ${model}: an OpenAI-compatible gateway needs a baseUrl (PLEXUS_LLM_BASE_URL).`,
        );
      }
      const { createOpenAICompatible } = await import("@ai-sdk/openai-compatible");
      const options = { includeUsage: true, supportsStructuredOutputs: true };
      return createOpenAICompatible({ name: "gateway", ...options, ...own, baseURL: baseUrl })(
        model,
      );
    }
  }
}

async function* stream(
  load: () => Promise<LanguageModelV4>,
  request: ModelRequest,
  options: AttemptOptions,
): AsyncGenerator<ModelPart> {
  let text = "";
  const content: LanguageModelV4Content[] = [];
  let broken: unknown;
  const model = await load();
  try {
    const { stream: parts } = await model.doStream(toCallOptions(request, options));
    for await (const part of parts) {
      if (part.type === "text-delta") {
        text += part.delta;
        yield { type: "text", text: part.delta };
      } else if (part.type === "tool-call") content.push(part);
      else if (part.type === "error") broken ??= part.error;
      else if (part.type === "finish") {
        if (broken !== undefined || part.finishReason.raw === undefined) throw cutOff(broken, text);
        const all = [{ type: "text" as const, text }, ...content];
        yield { type: "end", reply: toReply(request, all, part.usage, part.finishReason) };
        return;
      }
    }
  } catch (error) {
    const failure = toFailure(error);
    // Whatever breaks behind the first piece is a stream that broke.
    if (text === "" || failure.kind === "stream") throw failure;
    throw new Failure("stream", failure.message, { cause: error });
  }
  throw cutOff(broken, text);
}

/** An error event, or an end that was not announced. What never had any content is no stream of this API at all. */
function cutOff(error: unknown, text: string): Failure {
  const cause = error instanceof Error ? error : new Error(JSON.stringify(error));
  if (text !== "") return new Failure("stream", "the stream broke off.", { cause });
  if (error === undefined || error instanceof Error) return toFailure(cause);
  return new Failure("stream", "the stream broke off before it began.", { cause });
}

function toReply(
  request: ModelRequest,
  content: readonly LanguageModelV4Content[],
  usage: LanguageModelV4Usage,
  { unified }: LanguageModelV4FinishReason,
): ModelReply {
  let text = "";
  const toolCalls: ToolCall[] = [];
  for (const part of content) {
    if (part.type === "text") text += part.text;
    else if (part.type === "tool-call") {
      toolCalls.push({
        id: part.toolCallId,
        name: part.toolName,
        input: parsed(part.input),
        ...(part.providerMetadata === undefined ? {} : { meta: part.providerMetadata }),
      });
    }
  }
  return {
    text,
    toolCalls,
    usage: toUsage(request, usage, text, toolCalls),
    finishReason: finishReasons[unified],
  };
}

const finishReasons: Record<LanguageModelV4FinishReason["unified"], FinishReason> = {
  stop: "stop",
  length: "length",
  "content-filter": "content-filter",
  "tool-calls": "tool-calls",
  error: "other",
  interrupted: "other",
  other: "other",
};

function toUsage(
  request: ModelRequest,
  { inputTokens, outputTokens }: LanguageModelV4Usage,
  text: string,
  toolCalls: readonly ToolCall[],
): Usage {
  return {
    inputTokens: inputTokens.total ?? guess([request.messages, request.tools ?? []]),
    outputTokens: outputTokens.total ?? guess([text, toolCalls]),
    cachedTokens: inputTokens.cacheRead ?? 0,
  };
}

function guess(value: unknown): number {
  return Math.ceil(JSON.stringify(value).length / CHARACTERS_PER_TOKEN);
}

/** A tool's input. What is no JSON stays a text: the tool's schema refuses it, and the model is told. */
function parsed(input: string): unknown {
  try {
    return JSON.parse(input === "" ? "{}" : input) as unknown;
  } catch {
    return input;
  }
}
