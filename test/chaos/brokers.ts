import { setTimeout as sleep } from "node:timers/promises";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { startBroker, startCluster } from "@plexus/testing";

/** The broker of a campaign: one server, or three. */
export interface Brokers extends AsyncDisposable {
  readonly servers: string;
  readonly description: string;
  /** Kills the server, or the one that leads `stream`, and starts it again. Resolves when all is as before. */
  kill(stream: string): Promise<void>;
  /** A plain client, for what the broker itself says. */
  connect(): Promise<NatsConnection>;
}

const DOWN_MS = 300;
const LEADERLESS_MS = 3_000; // the others have elected a new leader by then

export async function startBrokers(kind: "single" | "cluster"): Promise<Brokers> {
  if (kind === "single") {
    const broker = await startBroker();
    return {
      servers: broker.url,
      description: `nats-server ${broker.version}`,
      kill: () => broker.restart({ signal: "SIGKILL", downMs: DOWN_MS }),
      connect: () => connect({ servers: broker.url }),
      [Symbol.asyncDispose]: () => broker[Symbol.asyncDispose](),
    };
  }
  const name = "chaos";
  const cluster = await startCluster({ name });
  const plain = (): Promise<NatsConnection> => connect({ servers: [...cluster.urls] });
  return {
    servers: cluster.url,
    description: `three nodes of nats-server ${cluster.brokers[0]?.version}`,
    async kill(stream) {
      const leader = await leaderOf(stream, await plain());
      const index = Number(leader.slice(name.length + 1)) - 1; // its servers are chaos-1, chaos-2, …
      const broker = cluster.brokers[index];
      if (broker === undefined) throw new Error(`${stream} is led by ${leader}, which is unknown`);
      await broker.kill();
      await sleep(LEADERLESS_MS);
      await broker.restart();
      await cluster.ready(60_000);
    },
    connect: plain,
    [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
  };
}

async function leaderOf(stream: string, connection: NatsConnection): Promise<string> {
  try {
    const info = await (await jetstreamManager(connection)).streams.info(stream);
    return info.cluster?.leader ?? "nobody";
  } finally {
    await connection.close();
  }
}
