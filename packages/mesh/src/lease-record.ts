import { MeshError, toMs, type Duration } from "@plexus/core";

/** What stands in the bucket while somebody holds a lease. Nothing stands there when nobody does. */
export interface LeaseRecord {
  /** The holder's connection: `mesh.client`. */
  readonly holder: string;
  /** The holder's name, as given to `connect`. */
  readonly name: string;
  /** Tells apart what one process has acquired at different times. */
  readonly nonce: string;
  /** How long the record counts after somebody has seen it written. */
  readonly ttlMs: number;
  /** Sequence of the write that acquired the lease; absent in that one itself, which did not know it yet. */
  readonly token?: number;
  /** Of a lock: what it is for. */
  readonly lock?: LockRecord;
}

/** What the record of a lock says in addition. */
export interface LockRecord {
  readonly name: string;
  /** What its holder does, for those who wait. */
  readonly intent: string;
  /** When it was acquired, by the holder's clock: milliseconds since the epoch. */
  readonly since: number;
}

/** Who holds a lease or leads, as far as this process knows. */
export interface Leader {
  /** The connection: its `mesh.client`. */
  readonly holder: string;
  /** Its name, as given to `connect`. */
  readonly name: string;
  /** Its fencing token. */
  readonly token: number;
}

/** The record of a lease that nobody holds. */
export const FREE = new Uint8Array(0);

/** How long somebody tries to remove a record of his before it is left to expire. */
export const LETTING_GO_MS = 2_000;

const DEFAULT_TTL_MS = 10_000;
const MIN_TTL_MS = 500; // less than a pause of the event loop or a reconnection would lose it
const MAX_TTL_MS = 86_400_000;

/** What cannot be read may be a newer version's: it counts as long as somebody writes it. */
const UNREADABLE: LeaseRecord = {
  holder: "unknown",
  name: "unknown",
  nonce: "",
  ttlMs: DEFAULT_TTL_MS,
};

/** A lease's time to live in ms. Throws `INVALID_CONTRACT`. */
export function parseTtl(ttl: Duration | undefined): number {
  const ttlMs = ttl === undefined ? DEFAULT_TTL_MS : toMs(ttl);
  if (ttlMs >= MIN_TTL_MS && ttlMs <= MAX_TTL_MS) return ttlMs;
  throw new MeshError("INVALID_CONTRACT", `A lease's ttl is 500 ms to 1 day, not ${ttlMs} ms.`);
}

/**
 * How much longer than the holder everybody else believes in a lease: clocks may differ in speed by 1 % (real ones do by less
 * than 0.1 %), and the holder's timers may be late by 100 ms.
 */
export function marginMs(ttlMs: number): number {
  return 100 + ttlMs / 100;
}

/** How long one write may take before it is tried again: several fit into a ttl. */
export function writeTimeoutMs(ttlMs: number): number {
  return Math.min(Math.max(ttlMs / 6, 200), 2_000);
}

export function encodeRecord(record: LeaseRecord): Uint8Array {
  return Buffer.from(JSON.stringify(record));
}

/** The record, or undefined if it says that nobody holds the lease. */
export function decodeRecord(value: Uint8Array): LeaseRecord | undefined {
  if (value.length === 0) return undefined;
  try {
    const record = JSON.parse(Buffer.from(value).toString("utf8")) as LeaseRecord;
    const { holder, name, nonce, ttlMs, token, lock } = record;
    const valid =
      [holder, name, nonce].every((text) => typeof text === "string") &&
      typeof ttlMs === "number" &&
      ttlMs >= MIN_TTL_MS &&
      ttlMs <= MAX_TTL_MS &&
      (token === undefined || Number.isSafeInteger(token)) &&
      (lock === undefined || (typeof lock.name === "string" && typeof lock.intent === "string"));
    return valid ? record : UNREADABLE;
  } catch {
    return UNREADABLE;
  }
}
