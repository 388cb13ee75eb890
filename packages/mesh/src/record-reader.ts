import { setTimeout as sleep } from "node:timers/promises";
import { MeshError } from "@plexus/core";
import type { JetStream } from "./nats/jetstream.ts";
import type { StoredMessage } from "./nats/stored-message.ts";
import type { CursorSource } from "./stream-cursor.ts";

/** A place in a journal: a sequence, or a time by the broker's clock (a Date, or milliseconds since the epoch). */
export type Place = { readonly sequence: number } | { readonly time: number | Date };

/** Whom a reading asks. */
export interface Asking {
  readonly js: JetStream;
  /** Asks again when the broker does not answer, unless that is not needed any more. */
  surely<T>(ask: () => Promise<T>, unneeded?: () => boolean): Promise<T>;
}

/** Which records are read. */
export interface Range {
  /** The first one. Default: the first there is. */
  readonly from?: "all" | Place | undefined;
  /** The last one, itself included. Default: the last there is when the reading begins. */
  readonly to?: Place | undefined;
  readonly signal?: AbortSignal | undefined;
}

const BATCH = 1_024;
const LAG_MS = 10; // before a replica that is behind is asked again

/**
 * The records of a subject, wildcards allowed, in order. Everything that was stored when it began is among them,
 * whichever replica answers: the stream's leader tells where the end is.
 */
export async function* readRecords(
  services: Asking,
  source: CursorSource,
  { from = "all", to, signal }: Range,
): AsyncGenerator<StoredMessage, void, undefined> {
  const { js } = services;
  const { stream, subject } = source;
  const ask = <T>(request: () => Promise<T>): Promise<T> => {
    if (signal?.aborted) {
      throw new MeshError("CANCELED", `No longer reading ${stream}.`, { cause: signal.reason });
    }
    return services.surely(request, () => signal?.aborted ?? false);
  };
  await ask(() => source.open());
  const last = await ask(() => js.last(stream, subject));
  if (last === undefined) return;
  const end = to && "sequence" in to ? Math.min(to.sequence, last.sequence) : last.sequence;
  const untilMs = to && "time" in to ? timeOf(to) : Infinity;
  let next = await ask(() => beginning(services, source, from));
  while (next <= end) {
    const at = next;
    // Each batch begins where the one before ended.
    const records = await ask(() => js.batch(stream, subject, at, BATCH));
    for (const record of records) {
      if (record.sequence > end || record.storedAt > untilMs) return;
      yield record;
      next = record.sequence + 1;
    }
    if (records.length === 0) await sleep(LAG_MS);
  }
}

/** The sequence with which a reading begins; one that does not exist yet for what lies in the future. */
export async function beginning(
  { js }: Asking,
  { stream, subject }: CursorSource,
  from: "all" | "new" | Place,
): Promise<number> {
  if (from === "all") return 1;
  if (from === "new") return ((await js.last(stream, subject))?.sequence ?? 0) + 1;
  if ("sequence" in from) return Math.max(1, from.sequence);
  const time = new Date(timeOf(from));
  const first = await js.since(stream, subject, time);
  return first?.sequence ?? ((await js.last(stream, subject))?.sequence ?? 0) + 1;
}

function timeOf({ time }: { readonly time: number | Date }): number {
  return typeof time === "number" ? time : time.getTime();
}

/** Throws `INVALID_INPUT` for a place that is none. */
export function checkPlace(what: string, place: unknown, ...words: readonly string[]): void {
  if (place === undefined || words.includes(place as string)) return;
  if (typeof place === "object" && place !== null) {
    if ("sequence" in place && Number.isSafeInteger(place.sequence) && Number(place.sequence) >= 0)
      return;
    if ("time" in place && !Number.isNaN(new Date(place.time as number).getTime())) return;
  }
  const said = words.map((word) => `"${word}", `).join("");
  const text = `${what} is ${said}{ sequence } or { time } as a Date or milliseconds since the epoch.`;
  throw new MeshError("INVALID_INPUT", text);
}
