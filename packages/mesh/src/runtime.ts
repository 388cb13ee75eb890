import { createUlid, isMeshError, type Subjects } from "@plexus/core";
import type { Absentees } from "./absentees.ts";
import type { Directory } from "./directory.ts";
import type { Inbox } from "./inbox.ts";
import type { Logger } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { Link } from "./nats/link.ts";
import type { Outbox } from "./outbox.ts";

/** What the parts of one mesh connection share. */
export interface Runtime {
  /** Unique id of this connection, one subject token; the sender of what it sends. */
  readonly client: string;
  /** As given to `connect`. */
  readonly name: string;
  readonly subjects: Subjects;
  readonly link: Link;
  readonly outbox: Outbox;
  readonly inbox: Inbox;
  readonly directory: Directory;
  readonly absentees: Absentees;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Monotonic ms until which instances may still be on their way back, after the broker was away. */
  returnsUntilMs: number;
  /** Runs `resume` once, when the connection is back; returns the function that takes it off the list. */
  whenConnected(resume: () => void): () => void;
}

/** Ids of this process's messages. */
export const newId = createUlid(Date.now, Math.random);

/** Counts and logs a message that could not be read. */
export function noteBadMessage(runtime: Runtime, error: unknown, subject?: string): void {
  const code = isMeshError(error) ? error.code : "BAD_MESSAGE";
  runtime.metrics.badMessages.with({ code }).value++;
  runtime.log.debug({ err: error, subject }, "unreadable message refused");
}
