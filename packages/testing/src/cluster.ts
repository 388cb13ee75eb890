import { setTimeout as sleep } from "node:timers/promises";
import { type Broker, type BrokerOptions, startBroker } from "./broker.ts";
import { type BrokerConfig, mergeConfig } from "./broker-config.ts";
import { PortTaken } from "./broker-process.ts";
import { findLeader, type Member } from "./cluster-health.ts";
import { probePlacement } from "./cluster-probe.ts";
import { Routes } from "./cluster-routes.ts";
import { pickPort } from "./port.ts";

export type ClusterOptions = Pick<BrokerOptions, "host" | "maxPayload" | "binary"> & {
  /** Number of servers. Default 3. */
  size?: number;
  /** Name of the cluster; its servers are `<name>-1`, `<name>-2`, … Default "plexus". */
  name?: string;
  /** Merged into the configuration of each server. */
  config?: BrokerConfig;
  /** Lets its servers talk to each other through proxies, so that they can be isolated. Default false. */
  isolatable?: boolean;
};

/** Several nats-servers that form one cluster with JetStream. Disposing it disposes its brokers. */
export type Cluster = AsyncDisposable & {
  /** Kill, stop, pause and restart them one by one. */
  readonly brokers: readonly Broker[];
  readonly urls: readonly string[];
  /** All urls, separated by commas. */
  readonly url: string;
  /**
   * Waits until the servers that are up have all routes between them, agree on a JetStream leader and have caught
   * up with it; if none is down, also until a stream can have a replica on each of them, and be written through each of
   * them (which is tried, unless clients need credentials or TLS). Call it after a kill or a restart.
   * @param timeoutMs default 30,000
   * @returns the broker that leads
   * @throws Error that says what is missing
   */
  ready(timeoutMs?: number): Promise<Broker>;
  /**
   * Parts a server from all others; its clients still reach it. `hold` swallows what they send each other, so that they find
   * out by silence only; `cut` breaks their connections.
   * @param index of the server in `brokers`
   * @throws Error unless the cluster is `isolatable`
   */
  isolate(index: number, how?: "hold" | "cut"): Promise<void>;
  /** Lets all servers talk to each other again. */
  heal(): Promise<void>;
};

/**
 * Starts a cluster and waits until it is ready for replicated streams.
 * @throws Error with the log's tail of a server that does not come up, or that says what the cluster lacks
 */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      // Again only when a route port was taken.
      return await startOnce(options);
    } catch (error) {
      if (!(error instanceof PortTaken) || attempt === 5) throw error;
    }
  }
}

async function startOnce(options: ClusterOptions): Promise<Cluster> {
  const {
    size = 3,
    name = "plexus",
    host = "127.0.0.1",
    config = {},
    isolatable,
    ...rest
  } = options;
  const listens = Array.from({ length: size }, () => `${host}:${pickPort()}`);
  const network = isolatable ? await Routes.open(listens) : undefined;
  const routes = listens.map((listen) => `nats-route://${listen}`);
  const serverName = (index: number) => `${name}-${index + 1}`;
  const clusterConfig = (index: number): BrokerConfig => network?.config(index) ?? { routes };
  const starts = await Promise.allSettled(
    listens.map((listen, index) =>
      startBroker({
        ...rest,
        host,
        serverName: serverName(index),
        config: mergeConfig({ cluster: { name, listen, ...clusterConfig(index) } }, config),
      }),
    ),
  );
  const members = starts.flatMap((start, index) =>
    start.status === "fulfilled" ? [{ name: serverName(index), broker: start.value }] : [],
  );
  const brokers = members.map(({ broker }) => broker);
  const dispose = async () => {
    await Promise.all(brokers.map((broker) => broker[Symbol.asyncDispose]()));
    await network?.[Symbol.asyncDispose]();
  };
  const ready = (timeoutMs?: number) => waitUntilReady(members, timeoutMs);
  try {
    for (const start of starts) if (start.status === "rejected") throw start.reason;
    await ready();
  } catch (error) {
    await dispose();
    throw error;
  }
  const urls = brokers.map((broker) => broker.url);
  return {
    brokers,
    urls,
    url: urls.join(","),
    ready,
    async isolate(index, how = "hold") {
      if (network === undefined) throw new Error("start the cluster with `isolatable: true`");
      await network.isolate(index, how);
    },
    heal: async () => network?.heal(),
    [Symbol.asyncDispose]: dispose,
  };
}

async function waitUntilReady(members: Member[], timeoutMs: number = 30_000): Promise<Broker> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      const { leader, up } = await findLeader(members);
      // While a server is down the leader goes on placing replicas on it, as it does not know yet: nothing to probe.
      if (up === members.length) {
        await probePlacement(
          leader,
          members.map(({ broker }) => broker),
        );
      }
      return leader;
    } catch (error) {
      if (performance.now() > deadline) {
        const reason = `the cluster is not ready after ${timeoutMs} ms: ${(error as Error).message}`;
        const logs = members.map(({ name, broker }) => `${name}:\n${broker.log(10)}`).join("\n");
        throw new Error(`${reason}. The ends of the logs:\n${logs}`, { cause: error });
      }
    }
    await sleep(20);
  }
}
