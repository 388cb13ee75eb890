import type { PartSource } from "./parted-record.ts";
import type { StoredMessage } from "./nats/stored-message.ts";

/** A record of a key or of a thread, as it says itself which one was before. */
export interface Linked {
  /** Sequence of the one before, 0 for the first; undefined: whoever wrote it did not know. */
  readonly previous?: number | undefined;
}

const MAX_RECORDS = 1_024;
const MAX_BYTES = 4 * 1024 * 1024;

/**
 * The records behind a sequence up to the last one, in order, each found by what the next one says. Asked for the next message on a
 * subject instead, the broker looks at every message in between, of whatever subject. None if the trail does not lead there, or
 * is long: a record does not name the one before, somebody has deleted it, or who answers is behind.
 */
export async function readTrail<T extends Linked>(
  { js, stream, subject, ask }: PartSource,
  last: StoredMessage,
  after: number,
  read: (message: StoredMessage) => T,
): Promise<{ sequence: number; record: T }[]> {
  const trail: { sequence: number; record: T }[] = [];
  let bytes = 0;
  for (let message = last; message.sequence > after;) {
    const record = read(message);
    trail.push({ sequence: message.sequence, record });
    bytes += message.data.length;
    const { previous } = record;
    if (previous === undefined) return [];
    if (previous <= after) break;
    if (trail.length === MAX_RECORDS || bytes > MAX_BYTES) return [];
    // Backwards, one after the other.
    const found = await ask(() => js.at(stream, previous));
    if (found?.subject !== subject) return [];
    message = found;
  }
  return trail.toReversed();
}
