import { setTimeout as sleep } from "node:timers/promises";
import { MeshError, decodePayload, encodePayload } from "@plexus/core";
import type { PartitionLog } from "./partition-log.ts";
import type { JetStream } from "./nats/jetstream.ts";
import type { StoredMessage } from "./nats/stored-message.ts";

/** A value of any size on a subject of its own, in parts: the newest complete one counts. */
export interface Parted<Meta> {
  /** Of its last part. */
  readonly sequence: number;
  /** Of the last part of the one before; 0: there is none. */
  readonly previous: number;
  readonly meta: Meta;
  readonly parts: readonly Uint8Array[];
}

interface Part {
  readonly sequence: number;
  readonly previous: number;
  /** Of its first part. */
  readonly first: number;
  readonly index: number;
  readonly count: number;
  readonly meta: unknown;
  readonly bytes: Uint8Array;
}

const VERSION = 1;
const LAG_MS = 10; // before a replica that is behind is asked again

/** Writes it, part by part: it counts once the last one is stored. Returns that one's sequence. */
export async function writeParts(
  log: PartitionLog,
  place: string,
  previous: number,
  meta: unknown,
  parts: readonly Uint8Array[],
): Promise<number> {
  let first = 0;
  let sequence = 0;
  for (const [index, bytes] of parts.entries()) {
    const part = encodePayload([VERSION, previous, first, index, parts.length, meta, bytes]);
    sequence = await log.write(place, Buffer.from(part));
    if (index === 0) first = sequence;
  }
  return sequence;
}

/** Where the parts are read. */
export interface PartSource {
  readonly js: JetStream;
  readonly stream: string;
  readonly subject: string;
  /** Asks until the broker answers. */
  readonly ask: <T>(request: () => Promise<T>) => Promise<T>;
}

/** The newest complete one, by the last message on its subject, of which `wanted` is true. */
export async function readParts<Meta>(
  source: PartSource,
  last: StoredMessage | undefined,
  wanted: (meta: Meta) => boolean = () => true,
): Promise<Parted<Meta> | undefined> {
  let message = last;
  while (message !== undefined) {
    const part = readPart(message);
    const complete = part.index === part.count - 1;
    // Backwards, one after the other.
    if (complete && wanted(part.meta as Meta)) {
      const { sequence, previous } = part;
      return { sequence, previous, meta: part.meta as Meta, parts: await wholeOf(source, part) };
    }
    message = part.previous === 0 ? undefined : await at(source, part.previous);
  }
  return undefined;
}

/** Sequence of the last part of the newest complete one; 0: there is none. */
export function lastComplete(last: StoredMessage | undefined): number {
  if (last === undefined) return 0;
  const { index, count, sequence, previous } = readPart(last);
  return index === count - 1 ? sequence : previous;
}

function at({ js, stream, subject, ask }: PartSource, sequence: number) {
  return ask(() => js.next(stream, subject, sequence));
}

async function wholeOf(source: PartSource, last: Part): Promise<Uint8Array[]> {
  if (last.count === 1) return [last.bytes];
  const { js, stream, subject, ask } = source;
  const parts: Uint8Array[] = [];
  let from = last.first;
  while (parts.length < last.count - 1) {
    const begin = from;
    const left = last.count - 1 - parts.length;
    // Each batch begins where the one before ended.
    const batch = await ask(() => js.batch(stream, subject, begin, left));
    if (batch.length === 0) {
      if ((await at(source, begin)) === undefined) throw unreadable(subject);
      await sleep(LAG_MS);
    }
    for (const message of batch) {
      const { index, bytes, sequence } = readPart(message);
      if (index !== parts.length) throw unreadable(subject);
      parts.push(bytes);
      from = sequence + 1;
    }
  }
  parts.push(last.bytes);
  return parts;
}

function readPart({ data, sequence, subject }: StoredMessage): Part {
  const value = decodePayload(data);
  if (!Array.isArray(value) || value[0] !== VERSION || value.length < 7) throw unreadable(subject);
  const [, previous, first, index, count, meta, bytes] = value as [
    number,
    number,
    number,
    number,
    number,
    unknown,
    Uint8Array,
  ];
  return { sequence, previous, first, index, count, meta, bytes };
}

function unreadable(subject: string): MeshError {
  return new MeshError("BAD_MESSAGE", `What is stored on ${subject} cannot be read.`);
}
