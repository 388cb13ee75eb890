import type { Duration } from "@plexus/core";

/** US dollars per million tokens. */
export interface Price {
  readonly input: number;
  readonly output: number;
  /** For input that the provider had cached. Default: as other input. */
  readonly cached?: number;
}

/** One model at one provider with one key, and how much it may be asked. */
export interface DeploymentSpec {
  /** What it is called in metrics, logs and lists. Default: the model's name. */
  readonly id?: string;
  /** Whose wire format it speaks. Default: OpenAI's, as most gateways do. */
  readonly provider?: "openai-compatible" | "anthropic" | "google";
  readonly model: string;
  /** Needed for an OpenAI-compatible gateway; otherwise the provider's own. */
  readonly baseUrl?: string;
  readonly apiKey?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Overrides the price that `@pydantic/genai-prices` knows. */
  readonly price?: Price;
  /** Share of the calls with strategy `weighted`. Default 1. */
  readonly weight?: number;
  /** Calls under way at once, in this process. Default 64. */
  readonly concurrency?: number;
  /** Calls that may wait for one of these places. Default 256. */
  readonly queue?: number;
  /** Requests and tokens a minute that the provider allows, for the whole fleet. Default: not limited here. */
  readonly rpm?: number;
  readonly tpm?: number;
  /** How long one attempt may take; in a stream, until the first piece, and between two. Default 30 s. */
  readonly timeout?: Duration;
  readonly breaker?: {
    /** Share of failed calls, in percent, above which it opens. Default 50. */
    readonly errorPercent?: number;
    /** Calls it must have seen. Default 5, and at least that. */
    readonly minimumCalls?: number;
    /** How long it stays open before one call of the fleet may try. Default 10 s. */
    readonly reset?: Duration;
  };
}
