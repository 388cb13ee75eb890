import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import {
  JetStreamApiError,
  jetstreamManager,
  StorageType,
  type JetStreamManager,
} from "@nats-io/jetstream";
import {
  headers,
  nanos,
  RequestError,
  TimeoutError,
  type NatsConnection,
} from "@nats-io/transport-node";
import { nowMs } from "../clock.ts";
import { Link, type LinkOptions } from "./link.ts";

/** What a broker offers, found out by trying. */
export interface BrokerReport {
  /** `host:port` of the server that answered. */
  readonly address: string;
  readonly serverId: string;
  readonly version: string;
  /** Name of the cluster it belongs to; undefined for a single server. */
  readonly cluster: string | undefined;
  readonly maxPayload: number;
  /** Median of several round trips. */
  readonly roundTripMs: number;
  readonly headers: boolean;
  readonly jetstream: JetStreamReport | NoJetStream;
}

/** Why JetStream cannot be used. */
export interface NoJetStream {
  readonly why: string;
  /** True: the server says that it is on. It refuses these credentials, or its cluster has no leader. */
  readonly on: boolean;
}

/** What JetStream on this broker, with these credentials, really does. */
export interface JetStreamReport {
  /** JetStream API level: 4 in nats-server 2.14. */
  readonly apiLevel: number;
  /** Messages with a time to live of their own: leases and the registry stand on it. */
  readonly messageTtl: boolean;
  readonly atomicBatch: boolean;
  readonly messageSchedules: boolean;
  /** Whether three replicas of a stream can be placed. */
  readonly threeReplicas: boolean;
  /** Server clock minus this machine's, and how far off that may be. Milliseconds. */
  readonly clockSkewMs: number;
  readonly clockUncertaintyMs: number;
}

const deaf = { lost: () => undefined, restored: () => undefined, error: () => undefined };
const ROUND_TRIPS = 7;
const API_TIMEOUT_MS = 3_000;
const PATIENCE_MS = 10_000; // at least: an election takes 4 to 9 s
const PAUSE_MS = 100;
const NOT_AVAILABLE = 10_008; // "temporarily"

/**
 * Examines a broker without joining a mesh. Leaves nothing behind: what it tries, it tries on a stream in memory that it
 * deletes. A cluster that has no leader just now, or whose servers have yet to hear of each other, is asked again for
 * `timeoutMs`, and for 10 s at least. Throws `NOT_CONNECTED` or `UNAUTHORIZED`.
 */
export async function probeBroker(options: Omit<LinkOptions, "name">): Promise<BrokerReport> {
  const link = await Link.open({ ...options, name: "plexus-probe" }, deaf);
  try {
    const { connection } = link;
    const info = connection.info!;
    return {
      address: connection.getServer(),
      serverId: info.server_id,
      version: info.version,
      cluster: info.cluster,
      maxPayload: info.max_payload,
      roundTripMs: await roundTrip(connection),
      headers: info.headers ?? false,
      jetstream: info.jetstream
        ? await probeJetStream(connection, Math.max(options.timeoutMs, PATIENCE_MS)).catch(
            (error: Error) => ({ why: unusable(error), on: true }),
          )
        : { why: "the server runs without JetStream", on: false },
    };
  } finally {
    await link.close();
  }
}

async function roundTrip(connection: NatsConnection): Promise<number> {
  const times: number[] = [];
  await connection.flush(); // the first one also pays for what happens only once
  for (let i = 0; i < ROUND_TRIPS; i += 1) {
    const startedAt = performance.now();
    // One after the other is what is measured.
    await connection.flush();
    times.push(performance.now() - startedAt);
  }
  return times.toSorted((a, b) => a - b)[Math.floor(ROUND_TRIPS / 2)]!;
}

async function probeJetStream(
  connection: NatsConnection,
  patienceMs: number,
): Promise<JetStreamReport> {
  const giveUpAt = nowMs() + patienceMs;
  const manager = await jetstreamManager(connection, { timeout: API_TIMEOUT_MS, checkAPI: false });
  for (;;) {
    try {
      // Again only when nobody has answered.
      return await examine(manager, connection.info?.cluster !== undefined);
    } catch (error) {
      if (!isPassing(error) || nowMs() >= giveUpAt) throw error;
      await sleep(PAUSE_MS);
    }
  }
}

/** Tries everything on a new stream: an earlier one may have been placed on a server that is gone. */
async function examine(manager: JetStreamManager, clustered: boolean): Promise<JetStreamReport> {
  const name = `plexus-probe-${randomBytes(6).toString("hex")}`;
  const { streams } = manager;
  const { api } = await manager.getAccountInfo();
  const base = { name, subjects: [name], storage: StorageType.Memory, max_age: nanos(60_000) };
  const wanted = { allow_msg_ttl: true, allow_atomic: true, allow_msg_schedules: true };
  try {
    const { config } = await streams.add({ ...base, ...wanted }).catch((error: unknown) => {
      if (isPassing(error)) throw error;
      return streams.add(base);
    });
    const js = manager.jetstream();
    const own = headers();
    if (config.allow_msg_ttl) own.set("Nats-TTL", "60s");
    const before = Date.now();
    const { seq } = await js.publish(name, new Uint8Array(0), { headers: own });
    const after = Date.now();
    const stored = await streams.getMessage(name, { seq });
    const storedAt = Date.parse(stored?.timestamp ?? "");
    return {
      apiLevel: api.level ?? 0,
      messageTtl: config.allow_msg_ttl === true && stored?.header.has("Nats-TTL") === true,
      atomicBatch: config.allow_atomic === true,
      messageSchedules: config.allow_msg_schedules === true,
      threeReplicas: await placesThreeReplicas(manager, name, clustered),
      clockSkewMs: storedAt - (before + after) / 2,
      clockUncertaintyMs: (after - before) / 2 + 1, // Date.now() tells whole milliseconds
    };
  } finally {
    await streams.delete(name).catch(() => undefined);
  }
}

/** In a cluster a refusal is doubted for a while: its leader may have yet to hear of what the other servers have room for. */
async function placesThreeReplicas(
  { streams }: JetStreamManager,
  prefix: string,
  clustered: boolean,
): Promise<boolean> {
  const name = `${prefix}-3`;
  const stream = { name, subjects: [name], storage: StorageType.Memory, num_replicas: 3 };
  const giveUpAt = clustered ? nowMs() + API_TIMEOUT_MS : 0;
  for (;;) {
    // Again only after a refusal.
    try {
      await streams.add(stream);
      return true;
    } catch (error) {
      if (isPassing(error)) throw error;
      if (nowMs() >= giveUpAt) return false;
    } finally {
      await streams.delete(name).catch(() => undefined);
    }
    await sleep(PAUSE_MS);
  }
}

/** True if nobody was there to answer, not even with a refusal: a cluster's servers find each other and elect a leader first. */
function isPassing(error: unknown): boolean {
  if (error instanceof JetStreamApiError) return error.code === NOT_AVAILABLE;
  if (error instanceof TimeoutError) return true;
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof RequestError && cause.isNoResponders();
}

function unusable(error: Error): string {
  return isPassing(error)
    ? "the server says that JetStream is on, but nobody answers for it"
    : error.message;
}
