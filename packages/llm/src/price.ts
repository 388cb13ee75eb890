import { nanoUsd } from "./amount.ts";
import type { DeploymentSpec, Price } from "./deployment-spec.ts";
import type { ModelRequest, Usage } from "./model.ts";

/** What usage costs, in nano-dollars. Undefined: nobody knows. */
export type Pricing = (usage: Usage) => number | undefined;

/** How `@pydantic/genai-prices` is asked for a model. */
interface Reference {
  readonly model: string;
  readonly providerId?: string;
  readonly providerApiUrl?: string;
}

const FLAT_FOR_MS = 600_000; // prices may depend on the time of day

/** The price that the deployment's own settings name, else the one that `@pydantic/genai-prices` knows. */
export async function pricing(spec: DeploymentSpec): Promise<Pricing> {
  const { price } = spec;
  if (price) return (usage) => nanoUsd(costOf(price, usage));
  const { calcPrice } = await import("@pydantic/genai-prices");
  const known = references(spec).find(
    ({ model, ...options }) => calcPrice({ input_tokens: 1 }, model, options) !== null,
  );
  if (known === undefined) return () => undefined;
  const { model, ...options } = known;
  let flat: Price | undefined;
  let flatUntilMs = 0;
  return (usage) => {
    if (flat !== undefined && performance.now() < flatUntilMs) return nanoUsd(costOf(flat, usage));
    const { inputTokens, outputTokens, cachedTokens } = usage;
    const calculated = calcPrice(
      {
        input_tokens: inputTokens,
        output_tokens: outputTokens,
        cache_read_tokens: Math.min(cachedTokens, inputTokens),
      },
      model,
      options,
    );
    if (calculated === null) return undefined;
    flat = flatPrice(calculated.model_price);
    flatUntilMs = performance.now() + FLAT_FOR_MS;
    return nanoUsd(calculated.total_price);
  };
}

/** The names under which a model may be known, the surest first. */
function references({ provider, model, baseUrl }: DeploymentSpec): Reference[] {
  if (provider === "anthropic" || provider === "google") return [{ model, providerId: provider }];
  const [, maker, name] = /^([\w-]+)\/(.+)$/.exec(model) ?? []; // as gateways call them
  return [
    ...(baseUrl === undefined ? [] : [{ model, providerApiUrl: baseUrl }]),
    { model },
    ...(maker !== undefined && name !== undefined ? [{ model: name, providerId: maker }] : []),
  ];
}

/** A price that is the same for every token, as most are: found once, it saves searching the catalogue for each call. */
function flatPrice(prices: Readonly<Record<string, unknown>>): Price | undefined {
  const { input_mtok: input, output_mtok: output, cache_read_mtok: cached } = prices;
  if (typeof input !== "number" || typeof output !== "number") return undefined;
  if (cached === undefined) return { input, output };
  return typeof cached === "number" ? { input, output, cached } : undefined;
}

const MESSAGE_OVERHEAD = 16; // roles, separators and the like, in tokens; more than any provider adds
const REQUEST_OVERHEAD = 512; // instructions that providers add of their own for tools and schemas

/**
 * The most that a request can be counted as: a token of a byte-level vocabulary is a byte at least, so there cannot be more tokens
 * than bytes.
 */
export function upperBound(request: ModelRequest, maxTokens: number): Usage {
  const { messages, tools = [], schema } = request;
  const parts = messages.length + tools.length;
  const bytes = messages.reduce((sum, message) => {
    const rest =
      message.role === "tool"
        ? message.results
        : "toolCalls" in message
          ? message.toolCalls
          : undefined;
    const text = message.role === "tool" ? 0 : Buffer.byteLength(message.text);
    return sum + text + (rest === undefined ? 0 : sizeOf(rest));
  }, 0);
  const extra =
    tools.length > 0 || schema !== undefined ? sizeOf([tools, schema]) + REQUEST_OVERHEAD : 0;
  return {
    inputTokens: bytes + extra + (parts + 1) * MESSAGE_OVERHEAD,
    outputTokens: maxTokens,
    cachedTokens: 0,
  };
}

function sizeOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value) ?? "");
}

function costOf(price: Price, { inputTokens, outputTokens, cachedTokens }: Usage): number {
  const cached = Math.min(cachedTokens, inputTokens);
  const input = (inputTokens - cached) * price.input + cached * (price.cached ?? price.input);
  return (input + outputTokens * price.output) / 1e6;
}
