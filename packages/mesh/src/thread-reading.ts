import { setTimeout as sleep } from "node:timers/promises";
import { MeshError, type ReadRange, type StoredSnapshot, type StoredThread } from "@plexus/core";
import type { JetStream } from "./nats/jetstream.ts";
import type { StoredMessage } from "./nats/stored-message.ts";
import { readParts, type PartSource } from "./parted-record.ts";
import { readThreadMessage, recordsOf, type ThreadMessage } from "./thread-record.ts";
import { readTrail } from "./trail.ts";

/** Position of the record whose state a snapshot holds, and sequence of a message behind which the records after it are. */
export type SnapshotMeta = readonly [position: number, after: number];

/** Where a thread is read, and where that ends. */
export interface ThreadSource {
  readonly js: JetStream;
  readonly stream: string;
  readonly records: string;
  readonly snapshots: string;
  /** The last messages on both subjects. */
  readonly lastRecord: StoredMessage | undefined;
  readonly lastSnapshot: StoredMessage | undefined;
  /** Asks until the broker answers. */
  readonly ask: <T>(request: () => Promise<T>) => Promise<T>;
}

const BATCH = 256;
const LAG_MS = 10; // before a replica that is behind is asked again

/** Reads what is stored of a thread, up to the last messages that the source names. */
export async function readStored(
  source: ThreadSource,
  { upTo = Infinity, whole = false }: ReadRange,
): Promise<StoredThread> {
  const found = await snapshotOf(source, upTo, whole);
  const position = found?.snapshot.position ?? 0;
  const messages = await messagesAfter(source, found?.after ?? 0, position, upTo);
  const records = [...recordsOf(messages)].filter(
    (record) => record.position > position && record.position <= upTo,
  );
  return { snapshot: found?.snapshot, records };
}

async function snapshotOf(
  source: ThreadSource,
  upTo: number,
  whole: boolean,
): Promise<{ snapshot: StoredSnapshot; after: number } | undefined> {
  const { js, stream, snapshots: subject, lastSnapshot, ask } = source;
  if (lastSnapshot === undefined) return undefined;
  const parts: PartSource = { js, stream, subject, ask };
  const wanted = ([position]: SnapshotMeta): boolean => (whole ? position === 0 : position <= upTo);
  const found = await readParts(parts, lastSnapshot, wanted);
  if (found === undefined) return undefined;
  const [position, after] = found.meta;
  return { snapshot: { position, parts: found.parts }, after };
}

async function messagesAfter(
  { js, stream, records: subject, lastRecord, ask }: ThreadSource,
  after: number,
  position: number,
  upTo: number,
): Promise<ThreadMessage[]> {
  if (lastRecord === undefined || lastRecord.sequence <= after) return [];
  const last = readThreadMessage(lastRecord);
  if (last.index === 0 && last.base <= position) return [last];
  if (upTo === Infinity) {
    const source = { js, stream, subject, ask };
    const trail = await readTrail(source, lastRecord, after, readThreadMessage);
    if (trail.length > 0) return trail.map(({ record }) => record);
  }
  const messages: ThreadMessage[] = [];
  let next = after + 1;
  while (next <= lastRecord.sequence) {
    const from = next;
    // Each batch begins where the one before ended.
    const batch = await ask(() => js.batch(stream, subject, from, BATCH));
    for (const message of batch) {
      if (message.sequence > lastRecord.sequence) return messages;
      const read = readThreadMessage(message);
      if (read.base >= upTo) return messages;
      messages.push(read);
      next = message.sequence + 1;
    }
    if (batch.length === 0) {
      // Either who has answered is behind, or what was there is there no more.
      if ((await ask(() => js.next(stream, subject, from))) === undefined) throw gone(subject);
      await sleep(LAG_MS);
    }
  }
  return messages;
}

/** Not the same as nothing: whoever took it for that would begin anew what has happened already. */
function gone(subject: string): MeshError {
  return new MeshError("BAD_MESSAGE", `What was stored on ${subject} is there no more.`);
}
