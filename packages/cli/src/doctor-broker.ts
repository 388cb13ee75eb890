import { isMeshError, toMs } from "@plexus/core";
import { probeBroker, type BrokerReport, type JetStreamReport } from "@plexus/mesh";
import { findBroker } from "@plexus/testing";
import type { BrokerChecks, Check, DoctorOptions } from "./doctor.ts";
import { serverOptions } from "./mesh-options.ts";

const DEFAULT_TIMEOUT_MS = 2_000;
const MONITOR_PORT = 8222;
const MONITOR_TIMEOUT_MS = 1_000;
const OLDEST = [2, 14] as const;
const SLOW_ROUND_TRIP_MS = 10;
const SKEW_MS = 100;
const SMALL_PAYLOAD = 1_048_576;

/** What the broker at `--server` is, offers and survives. */
export async function brokerChecks(options: DoctorOptions): Promise<BrokerChecks> {
  const { servers, ...credentials } = serverOptions(options.server);
  const timeoutMs = options.timeout === undefined ? DEFAULT_TIMEOUT_MS : toMs(options.timeout);
  let report: BrokerReport;
  try {
    report = await probeBroker({ servers, timeoutMs, ...credentials });
  } catch (error) {
    if (!isMeshError(error)) throw error;
    return { reachable: false, checks: [unreachable(error.message), await embeddedCheck()] };
  }
  const { jetstream } = report;
  return {
    reachable: true,
    checks: [
      {
        check: "broker",
        status: "ok",
        detail: `nats-server ${report.version} at ${report.address}`,
      },
      versionCheck(report.version),
      roundTripCheck(report.roundTripMs),
      payloadCheck(report.maxPayload),
      feature("headers", report.headers, "Do not set headers: false in its configuration."),
      ...("why" in jetstream
        ? [
            {
              check: "JetStream",
              status: "fail" as const,
              detail: jetstream.why,
              remedy: jetstream.on
                ? "Allow the account to use it; a cluster needs most of its servers, to elect a leader."
                : "Start nats-server with -js.",
            },
          ]
        : await jetstreamChecks(report, jetstream, options.monitor)),
    ],
  };
}

function unreachable(message: string): Check {
  return {
    check: "broker",
    status: "fail",
    detail: message,
    remedy: "`plexus dev <mesh-file>` brings a broker; or start one: nats-server -js",
  };
}

/** Which nats-server `dev`, `demo` and tests would start. */
async function embeddedCheck(): Promise<Check> {
  try {
    const { path, version, source } = await findBroker({ fetch: false });
    const detail = `nats-server ${version} from ${source}: ${path}`;
    return { check: "embedded broker", status: "ok", detail };
  } catch (error) {
    return { check: "embedded broker", status: "warn", detail: (error as Error).message };
  }
}

function versionCheck(version: string): Check {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const enough = major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1]);
  const check = "version";
  return enough
    ? { check, status: "ok", detail: `${version} (${OLDEST.join(".")} or newer is needed)` }
    : {
        check,
        status: "fail",
        detail: `${version} is older than ${OLDEST.join(".")}`,
        remedy: "Upgrade nats-server.",
      };
}

function roundTripCheck(ms: number): Check {
  const detail = `${ms.toFixed(2)} ms to the broker and back`;
  return ms <= SLOW_ROUND_TRIP_MS
    ? { check: "round trip", status: "ok", detail }
    : {
        check: "round trip",
        status: "warn",
        detail,
        remedy: "Every call takes two of them: run agents nearer to the broker.",
      };
}

function payloadCheck(bytes: number): Check {
  const detail = `messages of up to ${bytes} bytes`;
  return bytes >= SMALL_PAYLOAD
    ? { check: "max_payload", status: "ok", detail }
    : {
        check: "max_payload",
        status: "warn",
        detail,
        remedy: "Larger messages are refused with MESSAGE_TOO_LARGE: raise max_payload.",
      };
}

function feature(check: string, present: boolean, remedy: string): Check {
  return present
    ? { check, status: "ok", detail: "works" }
    : { check, status: "fail", detail: "does not work", remedy };
}

async function jetstreamChecks(
  report: BrokerReport,
  jetstream: JetStreamReport,
  monitor: string | undefined,
): Promise<Check[]> {
  const upgrade = "Upgrade every server of the cluster to 2.14 or newer.";
  return [
    { check: "JetStream", status: "ok", detail: `API level ${jetstream.apiLevel}` },
    feature("per-message TTL", jetstream.messageTtl, upgrade),
    feature("atomic batches", jetstream.atomicBatch, upgrade),
    feature("message schedules", jetstream.messageSchedules, upgrade),
    skewCheck(jetstream),
    await durabilityCheck(report, jetstream, monitor),
  ];
}

function skewCheck({ clockSkewMs, clockUncertaintyMs }: JetStreamReport): Check {
  const detail = `the broker's clock is ${Math.abs(clockSkewMs).toFixed(1)} ms ${clockSkewMs < 0 ? "behind" : "ahead"} (± ${clockUncertaintyMs.toFixed(1)} ms)`;
  return Math.abs(clockSkewMs) - clockUncertaintyMs <= SKEW_MS
    ? { check: "clock", status: "ok", detail }
    : {
        check: "clock",
        status: "warn",
        detail,
        remedy: "Latencies between hosts will be wrong: run an NTP client on both.",
      };
}

/** dev: 1 replica. standard: 3. strict: 3, and every write on disk before it is acknowledged. */
async function durabilityCheck(
  { address, serverId, cluster }: BrokerReport,
  { threeReplicas }: JetStreamReport,
  monitor: string | undefined,
): Promise<Check> {
  const check = "durability";
  const sync = await syncSetting(address, serverId, monitor);
  if (!threeReplicas) {
    const why =
      cluster === undefined ? "one server" : `cluster ${cluster} cannot place three replicas`;
    return {
      check,
      status: "ok",
      detail: `tier dev (${why}; ${sync.text}): what is stored survives a restart, not the loss of the server`,
    };
  }
  const replicated = `cluster ${cluster} places three replicas; ${sync.text}`;
  if (sync.always === undefined) {
    return {
      check,
      status: "unknown",
      detail: `tier standard or strict (${replicated})`,
      remedy: "Name its monitoring endpoint with --monitor http://host:8222.",
    };
  }
  const tier = sync.always ? "strict" : "standard";
  const survives = sync.always ? "also of power everywhere" : "not of power everywhere at once";
  return {
    check,
    status: "ok",
    detail: `tier ${tier} (${replicated}): survives the loss of a server, ${survives}`,
  };
}

/** How often the server writes to disk: only its monitoring endpoint knows. */
async function syncSetting(
  address: string,
  serverId: string,
  monitor: string | undefined,
): Promise<{ always: boolean | undefined; text: string }> {
  const host = new URL(`nats://${address}`).hostname;
  const url = `${monitor ?? `http://${host}:${MONITOR_PORT}`}/varz`;
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(MONITOR_TIMEOUT_MS) });
    const varz = (await response.json()) as {
      server_id?: string;
      jetstream?: { config?: { sync_interval?: number; sync_always?: boolean } };
    };
    if (varz.server_id !== serverId) throw new Error("another server answers there");
    const { sync_interval: interval = 0, sync_always: always = false } =
      varz.jetstream?.config ?? {};
    return { always, text: always ? "sync_interval always" : `sync_interval ${interval / 1e9} s` };
  } catch {
    return { always: undefined, text: "sync_interval unknown" };
  }
}
