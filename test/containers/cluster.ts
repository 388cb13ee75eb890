import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect as connectNats } from "@nats-io/transport-node";
import { pickPort } from "@plexus/testing";
import { getContainerRuntimeClient } from "testcontainers";
import { Container, type ContainerSpec } from "./container.ts";
import type { Images } from "./images.ts";
import { OWN } from "./leftovers.ts";

const config = join(import.meta.dirname, "..", "..", "deploy", "nats.conf");
const names = ["nats-1", "nats-2", "nats-3"];

/** A broker in a container, and its addresses on this machine. */
export interface BrokerContainer {
  readonly container: Container;
  readonly url: string;
  readonly monitorUrl: string;
}

/** Three brokers with the configuration of deploy/, in a network of their own. Disposing removes all that is in it. */
export interface ContainerCluster extends AsyncDisposable {
  readonly brokers: readonly BrokerContainer[];
  /** For clients on this machine. */
  readonly urls: readonly string[];
  /** Runs the Plexus image, with `agents/` of this folder in it, among the brokers. */
  startAgent(
    name: string,
    command: readonly string[],
    options: Pick<ContainerSpec, "until" | "env" | "healthEveryMs">,
  ): Promise<Container>;
  /** The broker that leads JetStream. */
  leader(): Promise<Container>;
  /** How many clients with names that begin like this each broker has. */
  connections(prefix: string): Promise<number[]>;
  /** Resolves when every broker is healthy and all replicas are up to date. */
  ready(): Promise<void>;
}

export async function startCluster(images: Images): Promise<ContainerCluster> {
  await using stack = new AsyncDisposableStack();
  const engine = await getContainerRuntimeClient();
  const network = `${OWN}-${randomInt(36 ** 6).toString(36)}`;
  const made = await engine.network.create({ Name: network });
  stack.defer(() => made.remove());

  const brokers = await Promise.all(
    names.map(async (name) => {
      const [client, monitor] = [await freePort(), await freePort()];
      const container = await Container.start({
        image: images.nats,
        network,
        name,
        command: ["--config", "/etc/nats/nats.conf", "--name", name],
        ports: { 4222: client, 8222: monitor },
        mounts: { [config]: "/etc/nats/nats.conf" },
        volumes: ["/data"],
        stopSignal: "SIGUSR2", // as in compose.yaml: it hands over what it leads before it ends
        until: /Server is ready/,
      });
      stack.use(container);
      return {
        container,
        url: `nats://127.0.0.1:${client}`,
        monitorUrl: `http://127.0.0.1:${monitor}`,
      };
    }),
  );
  const urls = brokers.map(({ url }) => url);
  await healthy(brokers);
  await placeable(urls);

  const agents = stack.use(new AsyncDisposableStack());
  const startAgent: ContainerCluster["startAgent"] = async (name, command, options) =>
    agents.use(
      await Container.start({
        image: images.plexus,
        network,
        name,
        command,
        mounts: { [join(import.meta.dirname, "agents")]: "/plexus/agents" },
        ...options,
        env: {
          PLEXUS_SERVERS: names.map((broker) => `nats://${broker}:4222`).join(","),
          PLEXUS_NAME: name,
          ...options.env,
        },
      }),
    );
  const all = stack.move();
  return {
    brokers,
    urls,
    startAgent,
    leader: () => findLeader(brokers),
    connections: (prefix) => Promise.all(brokers.map((broker) => countConnections(broker, prefix))),
    ready: () => healthy(brokers),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

const readyMs = 30_000;

/** Resolves when each broker says that it is healthy: it has a JetStream leader, and its replicas are up to date. */
async function healthy(brokers: readonly BrokerContainer[]): Promise<void> {
  await eventually(async () => {
    for (const { container, monitorUrl } of brokers) {
      // The first that is not is reported.
      const response = await fetch(`${monitorUrl}/healthz`, { signal: AbortSignal.timeout(2_000) });
      if (!response.ok) throw new Error(`${container.name}: ${await response.text()}`);
    }
  });
}

async function countConnections({ monitorUrl }: BrokerContainer, prefix: string): Promise<number> {
  const response = await fetch(`${monitorUrl}/connz`);
  const { connections } = (await response.json()) as { connections: { name?: string }[] };
  return connections.filter(({ name = "" }) => name.startsWith(prefix)).length;
}

/** As most of the brokers that answer say. */
async function findLeader(brokers: readonly BrokerContainer[]): Promise<Container> {
  const named = await Promise.all(
    brokers
      .map(async ({ monitorUrl }) => {
        const response = await fetch(`${monitorUrl}/jsz`, { signal: AbortSignal.timeout(1_000) });
        const { meta_cluster } = (await response.json()) as { meta_cluster?: { leader?: string } };
        return meta_cluster?.leader;
      })
      .map((leader) => leader.catch(() => undefined)),
  );
  const votes = ({ container }: BrokerContainer) =>
    named.filter((name) => name === container.name).length;
  return brokers.toSorted((a, b) => votes(b) - votes(a))[0]!.container;
}

/** Resolves when a stream can have three replicas: the leader must have heard of each broker's storage. */
async function placeable(servers: string[]): Promise<void> {
  const connection = await connectNats({ servers });
  try {
    const { streams } = await jetstreamManager(connection, { timeout: 10_000 });
    await eventually(async () => {
      await streams.add({ name: "probe", subjects: ["probe"], num_replicas: 3 });
      await streams.delete("probe");
    });
  } finally {
    await connection.close();
  }
}

async function eventually(work: () => Promise<void>): Promise<void> {
  const deadline = performance.now() + readyMs;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** A port of 127.0.0.1 that is free, and that no outgoing connection will be given while its container is down. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = pickPort();
    const server = createServer().listen(port, "127.0.0.1");
    try {
      // Again when it is taken.
      await once(server, "listening");
      return port;
    } catch {
      continue;
    } finally {
      server.close();
    }
  }
}
