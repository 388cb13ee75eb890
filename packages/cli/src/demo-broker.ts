import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { type Broker, startBroker } from "@plexus/testing";
import { TradingError } from "@plexus/trading";
import { serverOptions } from "./mesh-options.ts";

/** The broker a demo runs on. */
export interface DemoBroker extends AsyncDisposable {
  /** For who connects: credentials may stand in it. */
  readonly url: string;
  /** The same without them. */
  readonly address: string;
  readonly version: string;
  /** Name of the mesh: on a shared broker, one that no other demo uses. */
  readonly mesh: string;
  /** Rejects with `PROCESS_DIED` when a broker of its own dies: what it held is gone, and with it the run. */
  readonly died: Promise<never>;
}

const LOOK_MS = 250;

/** Brings a broker of its own, or takes the one named. */
export async function demoBroker(server: string | undefined): Promise<DemoBroker> {
  if (server !== undefined) {
    const { servers } = serverOptions(server);
    const [first = ""] = servers;
    return {
      url: server,
      address: servers.join(","),
      version: await serverVersion(new URL(first)),
      mesh: `demo-${randomBytes(3).toString("hex")}`,
      died: new Promise(() => undefined),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }
  const broker: Broker = await startBroker({ jetstream: true });
  const { promise: died, reject } = Promise.withResolvers<never>();
  died.catch(() => undefined); // heard only while a run goes on
  const looking = setInterval(() => {
    if (broker.pid !== undefined) return;
    clearInterval(looking);
    reject(new TradingError("PROCESS_DIED", "the broker (nats-server) ended before the run did"));
  }, LOOK_MS);
  return {
    url: broker.url,
    address: broker.url,
    version: broker.version,
    mesh: "demo",
    died,
    [Symbol.asyncDispose]: () => {
      clearInterval(looking);
      return broker[Symbol.asyncDispose]();
    },
  };
}

/** A NATS server introduces itself in the first line: `INFO {"version":…}`. Whether it answers is for `connect` to say. */
function serverVersion({ hostname, port }: URL): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port === "" ? 4222 : port) });
    let text = "";
    const end = (): void => {
      socket.destroy();
      resolve(/"version":"([^"]+)"/.exec(text)?.[1] ?? "unknown");
    };
    socket.setTimeout(2_000, end);
    socket.on("error", end);
    socket.on("close", end);
    socket.on("data", (data) => {
      text += data.toString("utf8");
      if (text.includes("\r\n")) end();
    });
  });
}
