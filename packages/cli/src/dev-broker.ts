import { startBroker, type Broker } from "@plexus/testing";
import { serverOptions } from "./mesh-options.ts";
import { note } from "./output.ts";
import { reviveBroker } from "./revive-broker.ts";

/** The broker that `plexus dev` runs its agents on. */
export interface DevBroker extends AsyncDisposable {
  /** For who connects: credentials may stand in it. */
  readonly url: string;
  /** For who looks on. */
  readonly facts: { readonly url: string; readonly embedded: boolean; readonly version?: string };
}

const DEFAULT_PORT = 4222;

/**
 * The broker at `server`, else an embedded one: on `port`, or without one on 4222 unless that is taken. An embedded one
 * that dies is started again, on the same port and with what it had stored.
 */
export async function devBroker(
  server: string | undefined,
  port: number | undefined,
): Promise<DevBroker> {
  if (server !== undefined) {
    const facts = { url: serverOptions(server).servers.join(","), embedded: false };
    return { url: server, facts, [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  const broker = await embedded(port);
  const { url, version } = broker;
  const stopReviving = reviveBroker(broker, (line) => note(`plexus: ${line}`));
  return {
    url,
    facts: { url, embedded: true, version },
    [Symbol.asyncDispose]: async () => {
      await stopReviving();
      await broker[Symbol.asyncDispose]();
    },
  };
}

async function embedded(port: number | undefined): Promise<Broker> {
  if (port === 0) return startBroker();
  try {
    return await startBroker({ port: port ?? DEFAULT_PORT });
  } catch (error) {
    if (!/address already in use/.test((error as Error).message)) throw error;
    if (port === undefined) {
      const broker = await startBroker();
      note(
        `plexus: port ${DEFAULT_PORT} is in use. Elsewhere, \`export PLEXUS_SERVERS=${broker.url}\`.`,
      );
      return broker;
    }
    const text = `Port ${port} is in use. Choose another one, or leave out --port: then a free one is found.`;
    throw new Error(text, { cause: error });
  }
}
