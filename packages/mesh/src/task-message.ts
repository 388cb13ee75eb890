import {
  FrameWriter,
  KINDS,
  MeshError,
  encodePayload,
  fromWireError,
  isToken,
  readFrame,
  type Envelope,
  type EnvelopeFields,
  type ErrorCode,
  type Kind,
  type TaskState,
} from "@plexus/core";
import { nowUs } from "./clock.ts";

// NATS headers of what lies in the streams of tasks.
export const HISTORY = "Plexus-History"; // JSON of the attempts that failed
export const RETRY = "Plexus-Retry"; // JSON of a retry policy that replaces the contract's
export const RECHECK = "Plexus-Recheck"; // look for a recorded result before the first execution, too
export const REASON = "Plexus-Reason"; // why it is a dead letter: an error code
export const MESSAGE = "Plexus-Message"; // the same in words
export const ORIGIN = "Plexus-Origin"; // the subject a dead letter was queued on

/** What a task leaves of the broker's limit for the headers of its attempts and of its dead letter. */
export const HEADER_ROOM = 8 * 1024;
const MAX_HISTORY = 20;
const MAX_HISTORY_BYTES = 4 * 1024;

/** What is told of a task to the client that submitted it, beside its result. */
export type TaskNews = "started" | "reassigned" | "progress" | "retried";

/** One failed attempt. */
export interface FailedAttempt {
  readonly attempt: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly instance: string;
  readonly code: string;
  readonly message: string;
}

const REJECTED = new Set<ErrorCode>(["INVALID_INPUT", "NO_CAPABILITY", "DEADLINE_EXCEEDED"]);
const writer = new FrameWriter();

/** One envelope as bytes. */
export function envelopeBytes(fields: EnvelopeFields): Uint8Array {
  writer.write(fields);
  return writer.take();
}

/** The one envelope of a stored message. Throws `BAD_MESSAGE` for anything else. */
export function readEnvelope(data: Uint8Array): Envelope {
  let found: Envelope | undefined;
  readFrame(data, (envelope) => {
    found ??= envelope;
  });
  if (found === undefined) throw new MeshError("BAD_MESSAGE", "There is no envelope.");
  return found;
}

/** The client to be told of a task that it has submitted; undefined: that is none, as a stranger may have written the task. */
export function submitterOf({ sender }: Envelope): string | undefined {
  return isToken(sender) ? sender : undefined;
}

/** Where a task stands whose result is recorded in this envelope. */
export function finalState(result: Envelope): TaskState {
  if (result.kind === KINDS.response) return "completed";
  const { code } = fromWireError(result.value);
  if (code === "CANCELED") return "canceled";
  return REJECTED.has(code) ? "rejected" : "failed";
}

/**
 * The envelope that records how a task ended.
 * @param load how much its host has to do beside it
 */
export function resultFields(
  task: { readonly id: string; readonly client: string; readonly name: string },
  sender: string,
  outcome: { readonly value: unknown } | { readonly error: MeshError },
  attempt: number,
  load = 0,
): EnvelopeFields {
  const failed = "error" in outcome;
  const kind: Kind = failed ? KINDS.error : KINDS.response;
  return {
    kind,
    id: task.id,
    sender,
    recipient: task.client,
    name: task.name,
    sentAt: nowUs(),
    payload: encodePayload(failed ? outcome.error.toJSON() : outcome.value),
    seq: attempt,
    load,
  };
}

/** Failed attempts for a header: the last ones, as many as fit. */
export function formatHistory(history: readonly FailedAttempt[]): string {
  for (let kept = history.slice(-MAX_HISTORY); ; kept = kept.slice(1)) {
    const text = JSON.stringify(kept);
    if (kept.length <= 1 || Buffer.byteLength(text) <= MAX_HISTORY_BYTES) return text;
  }
}

/** Failed attempts as they travel in a header; unreadable ones are no reason to stop. */
export function parseHistory(text: string | undefined): FailedAttempt[] {
  if (!text) return [];
  try {
    const history: unknown = JSON.parse(text);
    return Array.isArray(history) ? (history as FailedAttempt[]) : [];
  } catch {
    return [];
  }
}
