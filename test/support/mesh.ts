import { randomBytes } from "node:crypto";
import { connect, type ConnectOptions, type Logger, type Mesh } from "@plexus/mesh";
import { startBroker, type Broker, type BrokerOptions } from "@plexus/testing";
import { connect as connectNats, type NatsConnection } from "@nats-io/transport-node";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";

/** A logger that says nothing. */
export const silent: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silent,
};

/** One broker for a test file, a mesh name of its own for each test, and connections that end with the test. */
export interface TestMeshes {
  readonly broker: Broker;
  /** Name of the mesh of the running test. */
  readonly name: string;
  /** Connects to the test's mesh. */
  join(options?: ConnectOptions): Promise<Mesh>;
  /** A plain NATS client, for what a stranger might send. */
  nats(): Promise<NatsConnection>;
}

/** Starts the broker before the first test of a file and ends it after the last one. */
export function useMeshes(options: BrokerOptions = {}): TestMeshes {
  let broker: Broker;
  let name = "";
  let closers: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    broker = await startBroker(options);
  });
  beforeEach(() => {
    name = meshName();
  });
  afterEach(async () => {
    const closing = closers;
    closers = [];
    await Promise.all(closing.map((close) => close()));
  });
  afterAll(async () => {
    await broker[Symbol.asyncDispose]();
  });

  return {
    get broker() {
      return broker;
    },
    get name() {
      return name;
    },
    async join(own) {
      const mesh = await connect({
        servers: broker.url,
        mesh: name,
        http: false,
        log: silent,
        ...own,
      });
      closers.push(() => mesh.close());
      return mesh;
    },
    async nats() {
      const connection = await connectNats({ servers: broker.url, maxReconnectAttempts: -1 });
      closers.push(() => connection.close());
      return connection;
    },
  };
}

/** A mesh name that no other test uses. */
export function meshName(): string {
  return `t-${randomBytes(6).toString("hex")}`;
}

/** The value of a metric, summed over the series that have all of these labels. */
export async function metric(
  mesh: Mesh,
  name: string,
  labels: Record<string, string> = {},
): Promise<number> {
  const found = await mesh.metrics.getSingleMetric(name)?.get();
  return (found?.values ?? [])
    .filter((series) =>
      Object.entries(labels).every(
        ([key, value]) => (series.labels as Record<string, unknown>)[key] === value,
      ),
    )
    .reduce((sum, series) => sum + series.value, 0);
}

/** A promise and the functions that settle it. */
export type Gate = { readonly opened: Promise<void>; open(): void };

/** A promise that a test opens when it is time. */
export function gate(): Gate {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: () => resolve() };
}

/** Resolves when the signal fires, with its reason. */
export function fired(signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(signal.reason);
    else signal.addEventListener("abort", () => resolve(signal.reason), { once: true });
  });
}

/** Does the same with each item, one after the other. */
export async function inTurn<T>(
  items: Iterable<T>,
  each: (item: T, index: number) => Promise<unknown>,
): Promise<void> {
  let index = 0;
  // That is its purpose.
  for (const item of items) await each(item, index++);
}

/** The numbers from 0 to `count` − 1. */
export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n);
}
