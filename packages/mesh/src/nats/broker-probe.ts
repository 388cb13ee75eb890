import { randomBytes } from "node:crypto";
import { jetstreamManager, StorageType } from "@nats-io/jetstream";
import { headers, nanos, type NatsConnection } from "@nats-io/transport-node";
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
  /** Undefined: without JetStream, or not permitted to use it; `why` says which. */
  readonly jetstream: JetStreamReport | { readonly why: string };
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

/**
 * Examines a broker without joining a mesh. Leaves nothing behind: what it tries, it tries on a stream in memory that it
 * deletes. Throws `NOT_CONNECTED` or `UNAUTHORIZED`.
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
        ? await probeJetStream(connection).catch((error: Error) => ({ why: error.message }))
        : { why: "the server runs without JetStream" },
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
    // oxlint-disable-next-line no-await-in-loop -- one after the other is what is measured
    await connection.flush();
    times.push(performance.now() - startedAt);
  }
  return times.toSorted((a, b) => a - b)[Math.floor(ROUND_TRIPS / 2)]!;
}

async function probeJetStream(connection: NatsConnection): Promise<JetStreamReport> {
  const manager = await jetstreamManager(connection, { timeout: API_TIMEOUT_MS });
  const name = `plexus-probe-${randomBytes(6).toString("hex")}`;
  const { streams } = manager;
  const { api } = await manager.getAccountInfo();
  const base = { name, subjects: [name], storage: StorageType.Memory, max_age: nanos(60_000) };
  const wanted = { allow_msg_ttl: true, allow_atomic: true, allow_msg_schedules: true };
  try {
    const { config } = await streams.add({ ...base, ...wanted }).catch(() => streams.add(base));
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
      threeReplicas: await placesThreeReplicas(manager, name),
      clockSkewMs: storedAt - (before + after) / 2,
      clockUncertaintyMs: (after - before) / 2 + 1, // Date.now() tells whole milliseconds
    };
  } finally {
    await streams.delete(name).catch(() => undefined);
  }
}

async function placesThreeReplicas(
  { streams }: Awaited<ReturnType<typeof jetstreamManager>>,
  prefix: string,
): Promise<boolean> {
  const name = `${prefix}-3`;
  try {
    await streams.add({
      name,
      subjects: [name],
      storage: StorageType.Memory,
      num_replicas: 3,
    });
    await streams.delete(name);
    return true;
  } catch {
    return false;
  }
}
