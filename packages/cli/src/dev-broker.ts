import { startBroker, type Broker } from "@plexus/testing";
import { serverOptions } from "./mesh-options.ts";
import { note } from "./output.ts";

/** The broker that `plexus dev` runs its agents on. */
export interface DevBroker extends AsyncDisposable {
  /** For who connects: credentials may stand in it. */
  readonly url: string;
  /** For who looks on. */
  readonly facts: { readonly url: string; readonly embedded: boolean; readonly version?: string };
}

const DEFAULT_PORT = 4222;
const LOOK_MS = 500;

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
  const stopReviving = revive(broker);
  return {
    url,
    facts: { url, embedded: true, version },
    [Symbol.asyncDispose]: async () => {
      await stopReviving();
      await broker[Symbol.asyncDispose]();
    },
  };
}

/** Starts the broker again whenever it is down. Returns what ends that, and waits for a start under way. */
function revive(broker: Broker): () => Promise<void> {
  let starting: Promise<void> | undefined;
  let failed = false; // told once, however often it fails to start
  const start = async (): Promise<void> => {
    if (!failed) note("plexus: the embedded broker has died and is started again");
    try {
      await broker.restart();
      failed = false;
    } catch (error) {
      if (!failed) note(`plexus: it does not start, trying on: ${(error as Error).message}`);
      failed = true;
    }
    starting = undefined;
  };
  const timer = setInterval(() => {
    if (broker.pid === undefined) starting ??= start();
  }, LOOK_MS);
  return async () => {
    clearInterval(timer);
    await starting;
  };
}

async function embedded(port: number | undefined): Promise<Broker> {
  if (port !== undefined) return startBroker(port === 0 ? {} : { port });
  try {
    return await startBroker({ port: DEFAULT_PORT });
  } catch (error) {
    if (/address already in use/.test((error as Error).message)) return startBroker();
    throw error;
  }
}
