import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { eraseMesh } from "@plexus/mesh";
import { startBroker } from "@plexus/testing";
import { serverOptions } from "./mesh-options.ts";
import { reviveBroker } from "./revive-broker.ts";

/** The broker a demo runs on. */
export interface DemoBroker extends AsyncDisposable {
  /** For who connects: credentials may stand in it. */
  readonly url: string;
  /** The same without them. */
  readonly address: string;
  readonly version: string;
  /** Name of the mesh: on a shared broker, one that no other demo uses. */
  readonly mesh: string;
  /** Kills a broker of its own with SIGKILL; it is started again, with what it had stored. Undefined: it is not ours. */
  readonly kill: (() => Promise<void>) | undefined;
}

const ERASE_MS = 5_000;

/** Brings a broker of its own, or takes the one named and leaves nothing there. `say` is told when one of its own dies. */
export async function demoBroker(
  server: string | undefined,
  say: (line: string) => void,
): Promise<DemoBroker> {
  if (server !== undefined) {
    const { servers, ...credentials } = serverOptions(server);
    const mesh = `demo-${randomBytes(3).toString("hex")}`;
    const version = await serverVersion(new URL(servers[0] ?? ""));
    return {
      url: server,
      address: servers.join(","),
      version: version ?? "unknown",
      mesh,
      kill: undefined,
      async [Symbol.asyncDispose]() {
        if (version === undefined) return; // nobody has answered, so nothing was left there
        await eraseMesh(mesh, { servers, ...credentials, timeoutMs: ERASE_MS }).catch(
          (error: Error) => say(error.message),
        );
      },
    };
  }
  const broker = await startBroker({ jetstream: true });
  const stopReviving = reviveBroker(broker, say);
  return {
    url: broker.url,
    address: broker.url,
    version: broker.version,
    mesh: "demo",
    kill: () => broker.kill(),
    async [Symbol.asyncDispose]() {
      await stopReviving();
      await broker[Symbol.asyncDispose]();
    },
  };
}

/** A NATS server introduces itself in the first line: `INFO {"version":…}`. Whether it answers is for `connect` to say. */
function serverVersion({ hostname, port }: URL): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port === "" ? 4222 : port) });
    let text = "";
    const end = (): void => {
      socket.destroy();
      resolve(/"version":"([^"]+)"/.exec(text)?.[1]);
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
