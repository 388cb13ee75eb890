import {
  contentText,
  pieces,
  type FullReply,
  type ModelWire,
  type StubRequest,
} from "./model-request.ts";

type Content = { role?: string; parts?: unknown };
type Tools = { functionDeclarations?: { name?: string }[] };
type Config = {
  temperature?: number;
  seed?: number;
  maxOutputTokens?: number;
  responseSchema?: unknown;
  responseJsonSchema?: unknown;
};

const path = /\/models\/([^/:]+):(generateContent|streamGenerateContent)$/;
const reasons = {
  stop: "STOP",
  length: "MAX_TOKENS",
  "tool-calls": "STOP",
  "content-filter": "SAFETY",
} as const;
const roles: Record<string, string> = { model: "assistant" };

/** Google's generateContent (https://ai.google.dev/api/generate-content). */
export const googleWire: ModelWire = {
  read(from, body): StubRequest | undefined {
    const match = path.exec(from);
    if (!match) return undefined;
    const config = (body["generationConfig"] ?? {}) as Config;
    const system = body["systemInstruction"] as Content | undefined;
    const contents = [
      ...(system ? [{ ...system, role: "system" }] : []),
      ...((body["contents"] ?? []) as Content[]),
    ];
    const tools = [(body["tools"] ?? []) as Tools | Tools[]].flat();
    const schema = config.responseJsonSchema ?? config.responseSchema;
    return {
      wire: "google",
      model: match[1]!,
      stream: match[2] === "streamGenerateContent",
      messages: contents.map(({ role = "user", parts }) => ({
        role: roles[role] ?? role,
        text: contentText(parts),
      })),
      tools: tools.flatMap(({ functionDeclarations = [] }) =>
        functionDeclarations.map(({ name = "" }) => name),
      ),
      ...(schema === undefined ? {} : { schema }),
      ...(config.temperature === undefined ? {} : { temperature: config.temperature }),
      ...(config.seed === undefined ? {} : { seed: config.seed }),
      ...(config.maxOutputTokens === undefined ? {} : { maxTokens: config.maxOutputTokens }),
      body,
    };
  },

  whole: (reply) => answer(reply, [...texts([reply.text]), ...calls(reply)], true),

  events(reply) {
    const parts = [...texts(pieces(reply.text)), ...calls(reply)];
    const chunks = parts.map((part) => answer(reply, [part], false));
    return {
      events: [...chunks, answer(reply, [], true)].map(
        (data) => `data: ${JSON.stringify(data)}\n\n`,
      ),
      closing: 1,
    };
  },

  error(status, message) {
    return {
      error: { code: status, message, status: status === 429 ? "RESOURCE_EXHAUSTED" : "INTERNAL" },
    };
  },
};

function texts(of: readonly string[]): object[] {
  return of.filter((text) => text !== "").map((text) => ({ text }));
}

function calls(reply: FullReply): object[] {
  return reply.toolCalls.map(({ name, input }) => ({ functionCall: { name, args: input } }));
}

function answer(reply: FullReply, parts: readonly object[], last: boolean): object {
  const { inputTokens, outputTokens } = reply.usage;
  const finish = last ? { finishReason: reasons[reply.finishReason] } : {};
  return {
    responseId: reply.id,
    modelVersion: reply.model,
    candidates: [{ index: 0, content: { role: "model", parts }, ...finish }],
    usageMetadata: {
      promptTokenCount: inputTokens,
      candidatesTokenCount: outputTokens,
      totalTokenCount: inputTokens + outputTokens,
    },
  };
}
