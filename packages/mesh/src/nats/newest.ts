import { MeshError } from "@plexus/core";
import { isNoStream } from "./jetstream-error.ts";
import type { JetStream } from "./jetstream.ts";
import type { StoredMessage } from "./stored-message.ts";

/** Which messages of a stream are read, and what is made of them. */
export interface Selection<T> {
  /** May hold wildcards. */
  readonly subject: string;
  /** How many at most. */
  readonly limit: number;
  /** Undefined: not this one. */
  readonly pick: (message: StoredMessage) => T | undefined;
  readonly signal?: AbortSignal | undefined;
}

const BATCH = 128;
const FIRST_SPAN = 128;
const WIDER = 8;

/**
 * The newest messages of a stream that somebody wants, oldest first; none when there is no such stream. Reads without a
 * consumer: on a work queue that would take messages from whoever works on them. A stream is read forward only,
 * so this looks at the last few sequences first and then, as long as too little was found, at ever wider stretches before.
 */
export async function newest<T>(
  js: JetStream,
  stream: string,
  selection: Selection<T>,
): Promise<T[]> {
  const { first, last } = await bounds(js, stream);
  const found: T[] = [];
  let end = last + 1;
  for (let span = FIRST_SPAN; end > first && found.length < selection.limit; span *= WIDER) {
    const start = Math.max(first, end - span);
    // Further back only if this was not enough.
    const earlier = await stretch(
      js,
      stream,
      selection,
      start,
      end,
      selection.limit - found.length,
    );
    found.unshift(...earlier);
    end = start;
  }
  return found;
}

async function bounds(js: JetStream, stream: string): Promise<{ first: number; last: number }> {
  try {
    const { state } = await js.api(`STREAM.INFO.${stream}`, {});
    const { first_seq: first, last_seq: last } = state as { first_seq: number; last_seq: number };
    return { first, last };
  } catch (error) {
    if (isNoStream(error)) return { first: 1, last: 0 };
    throw error;
  }
}

/** The last `most` picked messages with sequences from `start` up to, not including, `end`. */
async function stretch<T>(
  js: JetStream,
  stream: string,
  { subject, pick, signal }: Selection<T>,
  start: number,
  end: number,
  most: number,
): Promise<T[]> {
  let picked: T[] = [];
  for (let from = start; from < end;) {
    if (signal?.aborted) {
      throw new MeshError("CANCELED", `No longer reading ${stream}.`, { cause: signal.reason });
    }
    // Each batch begins where the one before ended.
    const batch = await js.batch(stream, subject, from, BATCH);
    for (const message of batch) {
      const item = message.sequence < end ? pick(message) : undefined;
      if (item !== undefined) picked.push(item);
    }
    if (picked.length > most) picked = picked.slice(-most);
    from = (batch.at(-1)?.sequence ?? end) + 1;
  }
  return picked;
}
