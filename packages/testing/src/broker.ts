import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type BrokerConfig, mergeConfig, renderConfig } from "./broker-config.ts";
import { BrokerProcess, PortTaken } from "./broker-process.ts";
import { brokerCache } from "./broker-cache.ts";
import { checkBroker } from "./broker-version.ts";
import { findBroker } from "./find-broker.ts";
import { pickPort } from "./port.ts";

export type BrokerOptions = {
  /** Default true. */
  jetstream?: boolean;
  /** Client port. Default: a free one, kept over restarts. */
  port?: number;
  /** Default "127.0.0.1". */
  host?: string;
  /** JetStream's directory, kept on dispose. Default: a temporary one, removed on dispose. */
  storeDir?: string;
  /** Largest message in bytes. Default: nats-server's own (1 MiB). */
  maxPayload?: number;
  /** Added to the generated configuration: an object is merged into it, text is appended to it as it stands. */
  config?: BrokerConfig | string;
  /** Path of a nats-server. Default: what `findBroker()` finds. */
  binary?: string;
  serverName?: string;
};

/** A nats-server process of one's own. Disposing it kills the server and removes its temporary files. */
export type Broker = AsyncDisposable & {
  /** For clients: `nats://host:port`. The same over restarts, as are all ports. */
  readonly url: string;
  readonly port: number;
  /** The HTTP monitoring endpoint (`/varz`, `/jsz`, `/healthz`, …), without a slash at the end. */
  readonly monitorUrl: string;
  /** Version of the server, such as "2.14.0". */
  readonly version: string;
  /** Process id of nats-server itself; undefined while it is down. */
  readonly pid: number | undefined;
  /** The last lines of the server's log (default 40), over all its restarts. */
  log(lines?: number): string;
  /** SIGKILL: as if the machine lost power, except that what the kernel buffered is kept. Waits until it is gone. */
  kill(): Promise<void>;
  /** SIGTERM: the server closes its streams and connections; after 5 s it is killed. Waits until it is gone. */
  stop(): Promise<void>;
  /** SIGSTOP: the server freezes, connections stay open and time out. Waits until it stands still. */
  pause(): Promise<void>;
  /** SIGCONT: ends a pause. */
  resume(): void;
  /**
   * Brings the server down if it is up (default SIGTERM), waits `downMs` (default 0) and starts it on the same ports and
   * store; also starts one that was killed, stopped or crashed.
   * @throws Error with the log's tail when it does not come up
   */
  restart(options?: { signal?: "SIGTERM" | "SIGKILL"; downMs?: number }): Promise<void>;
};

/**
 * Starts a nats-server and waits until it accepts clients and JetStream is up (some 30 ms). The server dies with this
 * process, even if that is SIGKILLed.
 * @throws Error with the log's tail when it does not come up; the Error of `findBroker` when there is no binary
 */
export async function startBroker(options: BrokerOptions = {}): Promise<Broker> {
  const { path: binary, version } =
    options.binary === undefined
      ? await findBroker()
      : {
          path: options.binary,
          version: await checkBroker(options.binary, brokerCache(process.env)),
        };
  const host = options.host ?? "127.0.0.1";
  const directory = await mkdtemp(join(tmpdir(), "plexus-broker-"));
  const server = new BrokerProcess(binary, directory);
  const removeFiles = () => rm(directory, { recursive: true, force: true, maxRetries: 3 });

  let port: number;
  let monitorPort: number;
  try {
    [port, monitorPort] = await startOnFreePorts(server, directory, host, options);
  } catch (error) {
    await server.dispose();
    await removeFiles();
    throw error;
  }

  let disposed: Promise<void> | undefined;
  const dispose = async () => {
    // A store that stays is closed properly; a temporary one need not be.
    await server.end(options.storeDir === undefined ? "SIGKILL" : "SIGTERM");
    await removeFiles();
    await server.dispose();
  };
  return {
    url: `nats://${host}:${port}`,
    port,
    monitorUrl: `http://${host}:${monitorPort}`,
    version,
    get pid() {
      return server.pid;
    },
    log: (lines = 40) => server.log(lines),
    kill: () => server.end("SIGKILL"),
    stop: () => server.end("SIGTERM"),
    pause: () => server.pause(),
    resume: () => server.signal("SIGCONT"),
    restart: async ({ signal = "SIGTERM", downMs = 0 } = {}) => {
      await server.end(signal);
      if (downMs > 0) await sleep(downMs);
      await server.start();
    },
    [Symbol.asyncDispose]: () => (disposed ??= dispose()),
  };
}

async function startOnFreePorts(
  server: BrokerProcess,
  directory: string,
  host: string,
  options: BrokerOptions,
): Promise<[port: number, monitorPort: number]> {
  for (let attempt = 1; ; attempt += 1) {
    const port = options.port ?? pickPort();
    const monitorPort = pickPort();
    const base: BrokerConfig = {
      listen: `${host}:${port}`,
      http: `${host}:${monitorPort}`,
      server_name: options.serverName,
      max_payload: options.maxPayload,
      // nats-server creates its own "jetstream" directory in there
      ...(options.jetstream !== false && {
        jetstream: { store_dir: options.storeDir ?? directory },
      }),
    };
    const { config = {} } = options;
    server.configure(
      typeof config === "string"
        ? `${renderConfig(base)}${config}\n`
        : renderConfig(mergeConfig(base, config)),
    );
    try {
      // Another port only after this one proved to be taken.
      await server.start();
      return [port, monitorPort];
    } catch (error) {
      if (!(error instanceof PortTaken) || attempt === 10) throw error;
    }
  }
}
