import { connect as connectNats, type NatsConnection } from "@nats-io/transport-node";
import {
  spawnNode,
  startBroker,
  startCluster,
  type Broker,
  type Cluster,
  type NodeProcess,
  type Operation,
} from "@plexus/testing";
import type { Hosts } from "./disturbance.ts";
import type { Order, TickOrder, TickReport } from "./register-orders.ts";
import type { Answer, Request } from "./register.ts";

const CLIENTS = 3;
const HOSTS = 2;
const START_MS = 90_000;
const SLACK_MS = 90_000; // for what a client still waits for when its time is up

/** Until everything is there that clients and hosts need of the brokers. */
const WARM_UP: Order = {
  seed: 0,
  keys: ["s warm", "e warm"],
  ms: 500,
  pauseMs: 100,
  faults: true,
  broken: false,
};

/**
 * A cluster of three servers that can be parted, a client of registers at each of them, and two hosts of those that are an
 * entity's. What clients are told, and tell, goes over a broker of its own that stays whole.
 */
export class RegisterCrew implements Hosts, AsyncDisposable {
  readonly cluster: Cluster;
  readonly #control: Broker;
  readonly #nats: NatsConnection;
  readonly #clients: NodeProcess[] = [];
  readonly #hosts: NodeProcess[] = [];
  readonly #execArgv: string[];

  private constructor(cluster: Cluster, control: Broker, nats: NatsConnection, built: boolean) {
    this.cluster = cluster;
    this.#control = control;
    this.#nats = nats;
    this.#execArgv = built ? [] : ["--conditions=plexus-source"];
  }

  /** @param built whether processes run the built packages, or the sources */
  static async start(built: boolean): Promise<RegisterCrew> {
    const cluster = await startCluster({ isolatable: true });
    const control = await startBroker({ jetstream: false });
    const nats = await connectNats({ servers: control.url });
    const crew = new RegisterCrew(cluster, control, nats, built);
    try {
      await Promise.all(Array.from({ length: HOSTS }, (_, n) => crew.#startHost(n)));
      await Promise.all(Array.from({ length: CLIENTS }, (_, n) => crew.#startClient(n)));
      await crew.run(WARM_UP);
      return crew;
    } catch (error) {
      await crew[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Lets all clients work at once; resolves with everything that they did. */
  async run(order: Order): Promise<Operation<Request, Answer>[]> {
    const all = this.#clients.map(async (_, n) => {
      const own = { ...order, seed: order.seed * CLIENTS + n };
      return this.#ask<Operation<Request, Answer>[]>(n, "run", own, order.ms);
    });
    for (const one of all) one.catch(() => undefined); // the first failure is the one to report
    return (await Promise.all(all)).flat();
  }

  tick(client: number, order: TickOrder): Promise<TickReport> {
    return this.#ask<TickReport>(client, "tick", order, order.ms);
  }

  pick(victim: number): NodeProcess {
    return this.#hosts[victim % HOSTS]!;
  }

  async replace(victim: number): Promise<void> {
    await this.#startHost(victim % HOSTS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#clients, ...this.#hosts].map((process) => process.kill()));
    await this.#nats.close();
    await this.#control[Symbol.asyncDispose]();
    await this.cluster[Symbol.asyncDispose]();
  }

  async #ask<T>(client: number, what: "run" | "tick", order: object, ms: number): Promise<T> {
    const process = this.#clients[client]!;
    const timeout = ms + SLACK_MS;
    const asked = this.#nats.request(`c${client}.${what}`, JSON.stringify(order), { timeout });
    const died = process.exited.then((): never => {
      throw new Error(`client ${client} has ended:\n${process.stderr()}`);
    });
    return (await Promise.race([asked, died])).json<T>();
  }

  async #startHost(n: number): Promise<void> {
    this.#hosts[n] = this.#spawn("cell-host", [], this.cluster.url);
    await this.#hosts[n].waitForLine("ready", START_MS);
  }

  async #startClient(n: number): Promise<void> {
    const { url } = this.cluster.brokers[n]!;
    this.#clients[n] = this.#spawn("register-client", [`c${n}`, this.#control.url], url);
    await this.#clients[n].waitForLine("ready", START_MS);
  }

  #spawn(script: string, args: string[], servers: string): NodeProcess {
    return spawnNode(new URL(`./agents/${script}.ts`, import.meta.url), {
      args,
      env: { PLEXUS_SERVERS: servers, PLEXUS_LOG_LEVEL: "silent" },
      execArgv: this.#execArgv,
    });
  }
}
