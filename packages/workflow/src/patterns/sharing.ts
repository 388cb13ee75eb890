import { MeshError } from "@plexus/core";
import { calls, type ChatMessage } from "./conversation.ts";

/** What agents of a pattern see of each other. */
export interface SharingOptions {
  /**
   * `final`: what others have answered, and who handed off to whom. `full`: their working as well, that is every message of their
   * replies, tool calls included. An agent always sees its own. Default `final`.
   */
  readonly share?: "final" | "full";
  /** What an agent is shown at most, in tokens: see {@link fitTokens}. Default: everything. */
  readonly maxTokens?: number;
  /** Tokens of one message. Default {@link estimateTokens}. */
  readonly countTokens?: (message: ChatMessage) => number;
}

/**
 * About as many tokens as a message is: a quarter of its UTF-8 bytes, and four for its frame. For English it is off by some 20 %, for
 * code and other scripts by more; where a limit is hard, count by the model's own tokenizer.
 */
export function estimateTokens(message: ChatMessage): number {
  const content =
    message.role === "tool"
      ? JSON.stringify(message.results)
      : message.text +
        (message.role === "assistant" && calls(message) ? JSON.stringify(message.toolCalls) : "");
  return Math.ceil(Buffer.byteLength(content) / 4) + 4;
}

/** What an agent is shown of the conversation. */
export function shownTo(
  agent: string,
  messages: readonly ChatMessage[],
  { share = "final", maxTokens = Infinity, countTokens = estimateTokens }: SharingOptions,
): readonly ChatMessage[] {
  const shared =
    share === "full"
      ? messages
      : messages.filter(({ scratch }) => scratch === undefined || scratch === agent);
  return maxTokens === Infinity ? shared : fitTokens(shared, maxTokens, countTokens);
}

/**
 * The newest messages that come to `maxTokens` together. System messages and the last user message always stay, and so does what was
 * said last, even if they alone are more. A tool call and its tool message stay or go together, and behind system messages a user
 * message comes first, if there is one: providers refuse anything else.
 */
export function fitTokens(
  messages: readonly ChatMessage[],
  maxTokens: number,
  countTokens: (message: ChatMessage) => number = estimateTokens,
): readonly ChatMessage[] {
  const count = (unit: readonly ChatMessage[]): number =>
    unit.reduce((sum, message) => sum + countTokens(message), 0);
  const system = messages.filter(({ role }) => role === "system");
  const units = unitsOf(messages.filter(({ role }) => role !== "system"));
  const asked = units.findLastIndex(([first]) => first!.role === "user");
  let left = maxTokens - count(system) - (asked < 0 ? 0 : count(units[asked]!));
  let from = units.length;
  for (let i = units.length - 1; i >= 0; i--) {
    const tokens = i === asked ? 0 : count(units[i]!);
    if (tokens > left && i < units.length - 1) break;
    left -= tokens;
    from = i;
  }
  if (asked >= 0) while (from < asked && units[from]![0]!.role !== "user") from++;
  const kept = units.slice(from);
  if (asked >= 0 && asked < from) kept.unshift(units[asked]!);
  return [...system, ...kept.flat()];
}

/** Messages that cannot be parted: calls and their results. */
function unitsOf(messages: readonly ChatMessage[]): ChatMessage[][] {
  const units: ChatMessage[][] = [];
  for (const [i, message] of messages.entries()) {
    if (i > 0 && calls(messages[i - 1]!)) units.at(-1)!.push(message);
    else units.push([message]);
  }
  return units;
}

/** Throws `INVALID_CONTRACT`. */
export function demandSharing(pattern: string, { maxTokens = Infinity }: SharingOptions): void {
  demandCount(pattern, "maxTokens", maxTokens);
}

/** Throws `INVALID_CONTRACT` unless it is 1 or more. */
export function demandCount(pattern: string, what: string, value: number): void {
  if (value >= 1) return;
  throw new MeshError("INVALID_CONTRACT", `Graph ${pattern}: ${what} must be 1 or more.`);
}
