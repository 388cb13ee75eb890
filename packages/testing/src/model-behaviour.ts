/** A tool call that the stub model makes. */
export type StubToolCall = { name: string; input: unknown; id?: string };

/** What the stub model answers. What is left out comes from the request; see {@link startModelServer}. */
export type StubReply = {
  text?: string;
  /** An object to answer as JSON text, as a model does when it is given a schema. */
  json?: unknown;
  toolCalls?: readonly StubToolCall[];
  /** Default: a quarter of the characters, of the request and of the answer. */
  usage?: { inputTokens: number; outputTokens: number };
  finishReason?: "stop" | "length" | "tool-calls" | "content-filter";
};

/** What the stub does with one request: answer it, or fail as real providers and the networks before them do. */
export type StubBehaviour =
  | ({ kind: "reply"; latencyMs?: number } & StubReply)
  /** An error in the provider's own shape, or any `body`. */
  | { kind: "status"; status: number; retryAfter?: string; message?: string; body?: string }
  /** 200 and a page of HTML: a gateway's login or error page. */
  | { kind: "html" }
  /** 200 and JSON that ends in the middle. */
  | { kind: "invalidJson" }
  /** 200 and JSON that is no completion. */
  | { kind: "wrongShape" }
  /** The connection is reset: before any answer, or after this many chunks of a stream. */
  | { kind: "reset"; afterChunks?: number }
  /** Nothing more is sent, and the connection stays open: before any answer, or after this many chunks. */
  | { kind: "stall"; afterChunks?: number }
  /** A stream that breaks off with an error event after this many chunks. */
  | { kind: "streamError"; afterChunks: number; message?: string }
  /** A stream that ends in order, but without its last events, after this many chunks. */
  | { kind: "cutShort"; afterChunks: number };

/** How long answers take, in milliseconds: always the same, or log-normal with this median and 99th percentile. */
export type StubLatency = number | { p50: number; p99: number };

/** Which share of the requests (0 to 1) gets one of these behaviours, chosen evenly. */
export type StubFaults = { rate: number; of: readonly StubBehaviour[] };

const Z_99 = 2.326; // standard normal quantile

/** One latency drawn from the distribution. */
export function drawLatency(latency: StubLatency, random: () => number): number {
  if (typeof latency === "number") return latency;
  const sigma = Math.log(latency.p99 / latency.p50) / Z_99;
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()); // Box and Muller
  return latency.p50 * Math.exp(sigma * normal);
}
