import {
  MeshError,
  encodePayload,
  escapeKey,
  packEvent,
  toMs,
  type Duration,
  type Journal,
} from "@plexus/core";
import { nowMs } from "./clock.ts";
import { demandKey } from "./entity-command.ts";
import type { EventId } from "./journal-record.ts";
import { DEDUPE_MS } from "./nats/journal-store.ts";
import { newId } from "./runtime.ts";

/** What must be the last append of a key: the one of this sequence, none at all, or whatever there is. */
export type Expected = number | "none" | "any";

/** Options of an append. */
export interface AppendOptions {
  /** Default "any". With anything else a repetition of the same `id` is recognized however late it comes. */
  readonly expected?: Expected;
  /**
   * What caused these events. Default: the last event of the key that this process has appended or read, and the event or
   * message whose handler is running.
   */
  readonly parents?: readonly EventId[];
  /**
   * Identifies the append, within its key: repeated with the same id, it is not stored again. Printable ASCII without spaces, 1 to 128
   * characters. Default: a new one.
   */
  readonly id?: EventId;
  /** How long to try to have it stored. Default 30 s, at most 2 min. */
  readonly timeout?: Duration;
  readonly signal?: AbortSignal;
}

/** One of several appends that are stored together, or not at all. */
export interface AppendOf<Event> extends Pick<AppendOptions, "expected" | "parents" | "id"> {
  readonly key: string;
  readonly events: Event | readonly Event[];
}

/** An append that is stored. */
export interface Appended {
  readonly key: string;
  /** Of all its events; what the next append of the key may expect. */
  readonly sequence: number;
  /** Of its events. */
  readonly ids: readonly EventId[];
}

/** An append on its way. */
export interface Append {
  readonly key: string;
  /** The key as a token of the subject. */
  readonly token: string;
  readonly id: EventId;
  readonly count: number;
  /** Undefined: whatever is there. 0: nothing. */
  readonly expected: number | undefined;
  readonly parents: readonly EventId[] | undefined;
  /** Its events, encoded. */
  readonly payload: Uint8Array;
  /** How many bytes it takes, or a few more. */
  readonly bytes: number;
}

const DEFAULT_TIMEOUT_MS = 30_000;
const ID = /^[!-~]{1,128}$/;
const OVERHEAD = 1_024; // envelope and headers, without key, id and parents

/** Checks and encodes an append. Throws `INVALID_INPUT`, `INVALID_CONTRACT`, `UNENCODABLE` or `MESSAGE_TOO_LARGE`. */
export function prepareAppend(
  { name, types }: Journal,
  maxPayload: number,
  {
    key,
    events,
    expected = "any",
    parents,
    id = newId(),
  }: AppendOf<{ type: string; data: unknown }>,
): Append {
  demandKey(key);
  const list = Array.isArray(events) ? events : [events];
  const demand = (condition: boolean, text: string): void => {
    if (!condition) throw new MeshError("INVALID_INPUT", `Journal ${name}: ${text}.`);
  };
  demand(list.length > 0, "an append has at least one event");
  demand(
    typeof id === "string" && ID.test(id),
    "an id is 1 to 128 printable characters of ASCII, without spaces",
  );
  const known = expected === "none" || expected === "any";
  demand(
    known || (Number.isSafeInteger(expected) && expected >= 1),
    'expected is a sequence, "none" or "any"',
  );
  const packed = list.map(({ type, data }) => packEvent(types.record(type, data)));
  const payload = Buffer.from(encodePayload(packed)); // the encoder's own bytes do not outlast the next call
  const extra = [...(parents ?? []), id, id, key, key, key];
  const bytes = payload.length + OVERHEAD + extra.reduce((sum, text) => sum + text.length + 4, 0);
  if (bytes > maxPayload) {
    throw new MeshError(
      "MESSAGE_TOO_LARGE",
      `Journal ${name}: ${list.length} events of ${bytes} bytes do not fit the broker's limit of ${maxPayload}. Append fewer at a time, or raise max_payload.`,
    );
  }
  const sequence = expected === "none" ? 0 : expected === "any" ? undefined : expected;
  const token = escapeKey(key);
  return { key, token, id, count: list.length, expected: sequence, parents, payload, bytes };
}

/** Until when an append may be repeated: not longer than the broker knows its id. Monotonic. */
export function appendDeadline(timeout: Duration | undefined): number {
  const timeoutMs = timeout === undefined ? DEFAULT_TIMEOUT_MS : toMs(timeout);
  return nowMs() + Math.min(timeoutMs, DEDUPE_MS);
}
