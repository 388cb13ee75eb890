import { DEFAULT_TENANT, unescapeKey, type Envelope } from "@plexus/core";
import type { StoredMessage } from "./nats/stored-message.ts";
import {
  HISTORY,
  MESSAGE,
  ORIGIN,
  REASON,
  RETRY,
  envelopeBytes,
  parseHistory,
  readEnvelope,
  type FailedAttempt,
} from "./task-message.ts";
import { OWN_LANE } from "./task-placement.ts";

/** A task that has failed for good. */
export interface DeadLetter {
  readonly id: string;
  readonly agent: string;
  readonly capability: string;
  /** Why it was given up: an error code. */
  readonly reason: string;
  readonly message: string;
  /** Attempts in all. */
  readonly attempts: number;
  /** When it was given up: milliseconds since the epoch. */
  readonly at: number;
}

/** A dead letter with what is in it. */
export interface DeadLetterReport extends DeadLetter {
  /** The last attempts, oldest first. */
  readonly history: readonly FailedAttempt[];
  /** False: its bytes cannot be read, and so `input` and the rest are unknown. */
  readonly readable: boolean;
  readonly input?: unknown;
  readonly priority: string;
  readonly tenant: string;
  /** The client that submitted it. */
  readonly client?: string;
  /** Milliseconds since the epoch. */
  readonly submittedAt?: number;
  /** The subject on which it will be queued again. */
  readonly subject: string;
  /** Its bytes, as they were queued. */
  readonly data: Uint8Array;
}

/** What a stored letter tells without its contents being read. */
export function summarize(message: StoredMessage): DeadLetter {
  const [, , agent = "", capability = "", id = ""] = message.subject.split(".");
  const last = parseHistory(message.header(HISTORY)).at(-1);
  return {
    id,
    agent,
    capability,
    reason: message.header(REASON) ?? "",
    message: message.header(MESSAGE) ?? "",
    attempts: last?.attempt ?? 1,
    at: last?.at ?? message.storedAt,
  };
}

/** Everything that a stored letter tells. */
export function describeLetter(message: StoredMessage): DeadLetterReport {
  const subject = originOf(message);
  const [, , , , priority = "", tenant = ""] = subject.split(".");
  return {
    ...summarize(message),
    history: parseHistory(message.header(HISTORY)),
    subject,
    priority,
    tenant: unescapeKey(tenant) ?? tenant,
    data: message.data,
    ...contents(message),
  };
}

/** The subject that the task goes back to: the one it was queued on, unless that was the lane of one instance alone. */
export function originOf(message: StoredMessage): string {
  const parts = (message.header(ORIGIN) ?? "").split(".");
  if (parts[5]?.startsWith(OWN_LANE)) parts[5] = DEFAULT_TENANT; // the instance may be gone, and its lane with it
  return parts.join(".");
}

function contents(
  message: StoredMessage,
): Pick<DeadLetterReport, "readable" | "input" | "client" | "submittedAt"> {
  const envelope = readable(message);
  if (envelope === undefined) return { readable: false };
  const { sender: client, sentAt } = envelope;
  const known = { client, submittedAt: Math.round(sentAt / 1_000) };
  try {
    return { readable: true, ...known, input: envelope.value };
  } catch {
    return { readable: false, ...known };
  }
}

/** The task as it is queued again. A deadline that has passed is dropped: who retries it wants it done nevertheless. */
export function firstAttempt(letter: StoredMessage): Uint8Array {
  const envelope = readable(letter);
  if (envelope === undefined) return letter.data; // a newer version may be able to read it
  const { kind, id, sender, recipient, name, sentAt, parents, trace, contentType, payload } =
    envelope;
  const late = envelope.deadline !== undefined && envelope.deadline <= Date.now() * 1_000;
  const deadline = late ? undefined : envelope.deadline;
  const fields = {
    kind,
    id,
    sender,
    recipient,
    name,
    sentAt,
    parents,
    trace,
    contentType,
    payload,
  };
  return envelopeBytes({ ...fields, deadline, seq: 1 });
}

function readable(message: StoredMessage): Envelope | undefined {
  try {
    return readEnvelope(message.data);
  } catch {
    return undefined;
  }
}

/** The headers that a copy of it needs. */
export function letterHeaders(letter: StoredMessage): Record<string, string> {
  const known = [REASON, MESSAGE, HISTORY, ORIGIN, RETRY].map((name) => [
    name,
    letter.header(name),
  ]);
  return Object.fromEntries(known.filter(([, value]) => value !== undefined)) as Record<
    string,
    string
  >;
}
