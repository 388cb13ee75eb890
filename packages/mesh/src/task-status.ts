import { KINDS, fromWireError, type TaskState, type WireError } from "@plexus/core";
import type { StoredMessage } from "./nats/stored-message.ts";
import { finalState, readEnvelope } from "./task-message.ts";
import type { RunReport } from "./task-run.ts";

/** What is known of a task at one moment. */
export interface TaskStatus {
  readonly id: string;
  readonly state: TaskState;
  readonly agent: string;
  readonly capability: string;
  readonly attempt: number;
  /** The instance that works or has worked on it. */
  readonly instance?: string;
  /** 0 to 1, as its handler reported. */
  readonly progress?: number;
  readonly note?: string;
  /** The client that submitted it. */
  readonly client: string;
  /** Milliseconds since the epoch. */
  readonly submittedAt?: number;
  readonly endedAt?: number;
  /** When its next attempt is due, while it waits for one. */
  readonly dueAt?: number;
  readonly error?: WireError;
}

/** What a recorded result tells of a task. Throws `BAD_MESSAGE` if it cannot be read. */
export function endedStatus(result: StoredMessage): TaskStatus {
  const envelope = readEnvelope(result.data);
  const [agent = "", capability = ""] = envelope.name.split(".");
  const failed = envelope.kind === KINDS.error;
  return {
    id: envelope.id,
    state: finalState(envelope),
    agent,
    capability,
    attempt: envelope.seq,
    instance: envelope.sender,
    client: envelope.recipient ?? "",
    endedAt: result.storedAt,
    ...(failed ? { error: fromWireError(envelope.value).toJSON() } : {}),
  };
}

/** True if a queued message waits for the time of its next attempt. */
export function isDueLater({ subject }: StoredMessage): boolean {
  return subject.split(".", 5)[4] === "retry";
}

/** What a queued message, and whoever works on it, tell of a task. Throws `BAD_MESSAGE` if it cannot be read. */
export function queuedStatus(message: StoredMessage, run: RunReport | undefined): TaskStatus {
  const [, , agent = "", capability = "", , , id = ""] = message.subject.split(".");
  const envelope = readEnvelope(message.data);
  const known = {
    id,
    agent,
    capability,
    client: envelope.sender,
    submittedAt: Math.round(envelope.sentAt / 1_000),
  };
  if (run === undefined || isDueLater(message)) {
    const at = isDueLater(message)
      ? message.header("Nats-Schedule")?.slice("@at ".length)
      : undefined;
    const due = at === undefined ? {} : { dueAt: Date.parse(at) };
    return { ...known, state: "submitted", attempt: envelope.seq, ...due };
  }
  const { attempt, instance, fraction, note } = run;
  return {
    ...known,
    state: "working",
    attempt,
    instance,
    ...(fraction === undefined ? {} : { progress: fraction }),
    ...(note === undefined ? {} : { note }),
  };
}
