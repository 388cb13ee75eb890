import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { type Broker, startBroker } from "@plexus/testing";

/** The broker a demo runs on. */
export interface DemoBroker extends AsyncDisposable {
  readonly url: string;
  readonly version: string;
  /** Name of the mesh: on a shared broker, one that no other demo uses. */
  readonly mesh: string;
}

/** Brings a broker of its own, or takes the one named. */
export async function demoBroker(server: string | undefined): Promise<DemoBroker> {
  if (server !== undefined) {
    return {
      url: server,
      version: await serverVersion(server),
      mesh: `demo-${randomBytes(3).toString("hex")}`,
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }
  const broker: Broker = await startBroker({ jetstream: true });
  return {
    url: broker.url,
    version: broker.version,
    mesh: "demo",
    [Symbol.asyncDispose]: () => broker[Symbol.asyncDispose](),
  };
}

/** A NATS server introduces itself in the first line: `INFO {"version":…}`. Whether it answers is for `connect` to say. */
function serverVersion(server: string): Promise<string> {
  const { hostname, port } = new URL(server.includes("://") ? server : `nats://${server}`);
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
