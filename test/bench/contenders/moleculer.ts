import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import type { Message } from "../message.ts";
import type { Link, Place } from "./contender.ts";

/** The little of Moleculer that is used here; the package is installed apart (`peers/`) and may be missing. */
interface Context {
  readonly params: Message;
}
interface ServiceBroker {
  start(): Promise<void>;
  createService(schema: {
    name: string;
    actions?: Record<string, (context: Context) => unknown>;
    events?: Record<string, (context: Context) => unknown>;
  }): void;
  waitForServices(names: string[], timeoutMs: number): Promise<unknown>;
  call(action: string, params: Message): Promise<unknown>;
  emit(event: string, payload: Message): Promise<unknown>;
  readonly registry: {
    readonly services: {
      list(options: { grouping: boolean }): { nodes: string[]; name: string }[];
    };
  };
}
interface Moleculer {
  readonly ServiceBroker: new (options: object) => ServiceBroker;
}

/** The defence that Plexus always has, sized so that it never strikes here. */
const guards = {
  requestTimeout: 5000,
  circuitBreaker: { enabled: true },
  bulkhead: { enabled: true, concurrency: 1024, maxQueueSize: 1024 },
  metrics: { enabled: true },
};

export async function open(place: Place, { guarded }: { guarded: boolean }): Promise<Link> {
  const require = createRequire(new URL("../peers/package.json", import.meta.url));
  const { ServiceBroker } = require("moleculer") as Moleculer;
  const broker = new ServiceBroker({
    namespace: place.namespace,
    nodeID: `node-${process.pid}`,
    transporter: { type: "NATS", options: { url: place.servers } },
    serializer: "JSON",
    logger: false,
    validator: false,
    internalServices: false,
    ...(guarded ? guards : {}),
  });
  await broker.start();

  return {
    async respond({ work }) {
      const echo = (context: Context): Message | Promise<Message> => {
        const pending = work();
        return pending === undefined ? context.params : pending.then(() => context.params);
      };
      broker.createService({ name: "echo", actions: { call: echo } });
    },

    async caller(message, { replicas }) {
      const known = (): number =>
        broker.registry.services.list({ grouping: true }).find(({ name }) => name === "echo")?.nodes
          .length ?? 0;
      await broker.waitForServices(["echo"], 10_000);
      while (known() < replicas) await sleep(20);
      return () => broker.call("echo.call", message);
    },

    async subscribe(topic, receive) {
      broker.createService({
        name: `on-${topic}`,
        events: { [topic]: (context) => receive(context.params) },
      });
    },

    async publisher(topic) {
      await broker.waitForServices([`on-${topic}`], 10_000);
      return async (message) => {
        await broker.emit(topic, message);
      };
    },
  };
}
