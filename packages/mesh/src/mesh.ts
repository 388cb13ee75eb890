import { randomInt } from "node:crypto";
import { hostname } from "node:os";
import {
  MeshError,
  createSubjects,
  toMs,
  token,
  type Agent,
  type Duration,
  type Entity,
  type Topic,
} from "@plexus/core";
import type { Registry as MetricsRegistry } from "prom-client";
import { z } from "zod";
import { ask } from "./ask.ts";
import type { CommandHandler } from "./command-execution.ts";
import { Entities } from "./entities.ts";
import type { EntityClient } from "./entity-client.ts";
import type { EntityHandlers, EntityHostOptions, HostedEntity } from "./entity-host.ts";
import type { Balance } from "./balance.ts";
import {
  createClient,
  createRoute,
  openStream,
  type Client,
  type ClientOptions,
} from "./client.ts";
import { nowMs } from "./clock.ts";
import type { DeadLetters } from "./dead-letters.ts";
import { Directory, type InstanceInfo, type MembershipChange } from "./directory.ts";
import type { CallOptions, Route } from "./exchange.ts";
import {
  Publisher,
  Subscriber,
  type EventHandler,
  type PublishOptions,
  type SubscribeOptions,
  type Subscription,
} from "./events.ts";
import {
  HostedAgent,
  instanceInfo,
  type Handlers,
  type HostOptions,
  type InstanceReport,
} from "./host.ts";
import type { ElectOptions, Election } from "./election.ts";
import { Inbox } from "./inbox.ts";
import type { Lease, LeaseOptions } from "./lease.ts";
import { Leases } from "./leases.ts";
import { createLogger, type Logger } from "./log.ts";
import { Metrics } from "./metrics.ts";
import { MicroFace } from "./micro.ts";
import { LeaseStore } from "./nats/lease-store.ts";
import { Link } from "./nats/link.ts";
import { RegistryStore } from "./nats/registry-store.ts";
import type { TopicInfo, TopicLag } from "./nats/topic-status.ts";
import { ObservabilityServer, type HttpOptions } from "./observability.ts";
import { Outbox } from "./outbox.ts";
import { Registry } from "./registry.ts";
import { noteBadMessage, type Runtime } from "./runtime.ts";
import type { ShardInfo } from "./shards.ts";
import {
  readsStore,
  type NamedSubscribeOptions,
  type ReplayOptions,
  type StoredEventHandler,
  type StoredEventValue,
} from "./stored-event.ts";
import type { MeshStream, StreamOptions } from "./stream-call.ts";
import { Onlookers, tap, type TappedMessage } from "./tap.ts";
import type { TaskHandle } from "./task-handle.ts";
import type { ListTasksOptions } from "./task-list.ts";
import type { TaskStatus } from "./task-status.ts";
import type { SubmitOptions } from "./task-submitter.ts";
import { TaskWorker } from "./task-worker.ts";
import { Tasks, type TaskOptions } from "./tasks.ts";
import type { DurablePublisher } from "./topic-publisher.ts";
import { Topics } from "./topics.ts";
import { DEFAULT_SERVER, parseServers } from "./servers.ts";
import { callOnce } from "./unary-call.ts";
import { Watchdog } from "./watchdog.ts";

/** Options of {@link connect}; each falls back to the environment variable named. */
export interface ConnectOptions {
  /**
   * NATS URLs, in which credentials may stand: `nats://user:password@host`, `nats://token@host`. PLEXUS_SERVERS (comma
   * separated), else nats://127.0.0.1:4222.
   */
  readonly servers?: string | readonly string[];
  /** Which mesh to join: the namespace of every subject. PLEXUS_MESH, else `plexus`. */
  readonly mesh?: string;
  /** What this process is called in lists and logs; one token. PLEXUS_NAME, else `agent`. */
  readonly name?: string;
  /** How long to try to connect. Default 5 s. */
  readonly timeout?: Duration;
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
  /** Where a process that hosts agents serves /metrics, /livez, /readyz. PLEXUS_HTTP_PORT, else any free port; false: nowhere. */
  readonly http?: HttpOptions | false;
  /** How long results and dead letters of tasks are kept. */
  readonly tasks?: TaskOptions;
  readonly log?: Logger;
}

/** A hosted instance; disposing it drains. */
export interface Hosted extends AsyncDisposable {
  readonly info: InstanceInfo;
  /** Leaves the mesh without losing a call. Resolves when the last one is answered. */
  drain(): Promise<void>;
}

const RETURN_MS = 5_000; // processes try to reconnect every 250 to 500 ms and then register again

/** Joins a mesh. Throws `NOT_CONNECTED`, `UNAUTHORIZED`, `INCOMPATIBLE_BROKER` or `INVALID_INPUT` when that is impossible. */
export async function connect(options: ConnectOptions = {}): Promise<Mesh> {
  const mesh = new Mesh(options);
  try {
    await mesh.open(options);
  } catch (error) {
    await mesh.close();
    throw error;
  }
  return mesh;
}

/** One process's place in a mesh. */
export class Mesh implements AsyncDisposable {
  /** Name of the mesh. */
  readonly mesh: string;
  /** Name of this process in it. */
  readonly name: string;
  /** Unique id of this connection. */
  readonly client: string;
  readonly log: Logger;
  readonly #metrics: Metrics;
  readonly #directory = new Directory(nowMs);
  readonly #hosts = new Set<HostedAgent>();
  readonly #subscribers = new Set<Subscription>();
  readonly #publishers = new WeakMap<Topic, Publisher | DurablePublisher>();
  readonly #clients = new WeakMap<Agent, Record<string, unknown>>();
  readonly #routes = new Map<string, Route>();
  readonly #http: HttpOptions | false;
  readonly #taskOptions: TaskOptions;
  readonly #waitingForConnection = new Set<() => void>();
  #runtime: Runtime | undefined;
  #registry: Registry | undefined;
  #watchdog: Watchdog | undefined;
  #micro: MicroFace | undefined;
  #onlookers: Onlookers | undefined;
  #leases: Leases | undefined;
  #server: Promise<ObservabilityServer> | undefined;
  #tasks: Tasks | undefined;
  #topics: Topics | undefined;
  #entities: Entities | undefined;
  #hosted = 0;
  #closing: Promise<void> | undefined;
  #closed = false;

  /** Use {@link connect}. */
  constructor(options: ConnectOptions) {
    const { env } = process;
    this.mesh = token("Mesh name", options.mesh ?? env["PLEXUS_MESH"] ?? "plexus");
    this.name = token("Process name", options.name ?? env["PLEXUS_NAME"] ?? "agent");
    this.client = `${this.name.slice(0, 48)}-${randomInt(36 ** 6)
      .toString(36)
      .padStart(6, "0")}`;
    const port = env["PLEXUS_HTTP_PORT"];
    this.#http =
      options.http ?? (port === undefined ? {} : { port: Number(port), host: "0.0.0.0" });
    this.#taskOptions = options.tasks ?? {};
    this.log = options.log ?? createLogger({ mesh: this.mesh, name: this.name });
    this.#metrics = new Metrics((metrics) => this.#refresh(metrics));
  }

  /** @internal */
  async open(options: ConnectOptions): Promise<void> {
    const servers = options.servers ?? process.env["PLEXUS_SERVERS"] ?? DEFAULT_SERVER;
    const link = await Link.open(
      {
        ...parseServers(servers),
        name: this.client,
        timeoutMs: toMs(options.timeout ?? "5s"),
        ...(options.user === undefined ? {} : { user: options.user }),
        ...(options.password === undefined ? {} : { password: options.password }),
        ...(options.token === undefined ? {} : { token: options.token }),
      },
      {
        lost: (server) => this.#connectionLost(server),
        restored: (server) => this.#connectionRestored(server),
        error: (error) => this.log.error({ err: error }, "error on the connection to the broker"),
      },
    );
    const subjects = createSubjects(this.mesh);
    const metrics = this.#metrics;
    const outbox = new Outbox(link, {
      sent: (subject, envelopes, bytes) => {
        metrics.frames.value++;
        metrics.frameEnvelopes.value += envelopes;
        this.#onlookers?.show(subject, bytes);
      },
      dropped: (subject, envelopes, reply) => this.#dropped(subject, envelopes, reply),
    });
    const runtime: Runtime = {
      client: this.client,
      name: this.name,
      subjects,
      link,
      outbox,
      inbox: new Inbox(link, subjects.inbox(this.client), (error) =>
        noteBadMessage(runtime, error),
      ),
      directory: this.#directory,
      metrics,
      log: this.log,
      returnsUntilMs: -Infinity,
      whenConnected: (resume) => {
        this.#waitingForConnection.add(resume);
        return () => this.#waitingForConnection.delete(resume);
      },
    };
    this.#runtime = runtime;
    metrics.connected.value = 1;
    this.#micro = new MicroFace(runtime);
    this.#watchdog = new Watchdog(runtime, this.#hosts);
    this.#onlookers = new Onlookers(runtime);
    this.#leases = new Leases(runtime, new LeaseStore(link, this.mesh));
    this.#registry = new Registry(new RegistryStore(link, this.mesh), this.#directory, this.log);
    await this.#registry.start();
  }

  /** True while there is a connection to the broker; it comes back by itself. */
  get connected(): boolean {
    return this.#runtime?.link.connected ?? false;
  }

  /** prom-client's registry with this connection's metrics. */
  get metrics(): MetricsRegistry {
    return this.#metrics.registry;
  }

  /**
   * Hosts an instance of an agent: it is discovered, placed and called until it is drained. Of an entity, it owns a share of the
   * partitions, which moves when instances join, leave or die.
   */
  host<A extends Agent>(contract: A, handlers: Handlers<A>, options?: HostOptions): Promise<Hosted>;
  host<E extends Entity>(
    contract: E,
    handlers: EntityHandlers<E>,
    options?: EntityHostOptions,
  ): Promise<Hosted>;
  async host(
    contract: Agent | Entity,
    handlers: object,
    options: HostOptions & EntityHostOptions = {},
  ): Promise<Hosted> {
    if (contract?.kind === "entity") {
      return this.#hostEntity(contract, handlers as Record<string, CommandHandler>, options);
    }
    return this.#hostAgent(contract, handlers as Handlers<Agent>, options);
  }

  async #hostAgent(
    contract: Agent,
    handlers: Handlers<Agent>,
    options: HostOptions,
  ): Promise<Hosted> {
    const runtime = this.#staying();
    if (contract?.kind !== "agent") {
      throw new MeshError(
        "INVALID_CONTRACT",
        "mesh.host() takes a contract made by agent() or entity().",
      );
    }
    const server = this.#http === false ? undefined : await this.#serve(this.#http);
    const info = instanceInfo(runtime, contract, options, {
      instance: `${this.client}-${++this.#hosted}`,
      host: hostname(),
      http: server?.url,
    });
    const host = new HostedAgent(runtime, contract, handlers, options, info, async () => {
      await this.#registry?.leave(info);
      this.#micro?.remove(host);
    });
    const drain = async (): Promise<void> => {
      await host.drain();
      this.#hosts.delete(host);
    };
    host.listen();
    this.#hosts.add(host);
    this.#micro?.add(host);
    try {
      // The broker must know the subscriptions before anyone learns that the instance exists.
      await confirm(runtime);
      await this.#registry?.register(info);
      const { served, drainTimeoutMs } = host;
      const slots = options.taskConcurrency ?? info.concurrency;
      const work = { contract, instance: info.instance, served, slots, drainTimeoutMs };
      if (TaskWorker.needed(work)) host.tasks = await this.#working(runtime).work(work);
    } catch (error) {
      await drain();
      throw error;
    }
    return { info, drain, [Symbol.asyncDispose]: drain };
  }

  async #hostEntity(
    contract: Entity,
    handlers: Record<string, CommandHandler>,
    options: EntityHostOptions,
  ): Promise<Hosted> {
    const runtime = this.#staying();
    const server = this.#http === false ? undefined : await this.#serve(this.#http);
    const { name, version, commands: capabilities } = contract;
    const info = instanceInfo(runtime, { name, version, capabilities }, options, {
      instance: `${this.client}-${++this.#hosted}`,
      host: hostname(),
      http: server?.url,
    });
    const entities = this.#entitled(runtime);
    const leave = async (host: HostedEntity): Promise<void> => {
      await this.#registry?.leave(info);
      this.#micro?.remove(host);
    };
    const host = await entities.host(contract, handlers, options, info, leave);
    this.#micro?.add(host);
    const drain = (): Promise<void> => host.drain();
    try {
      await confirm(runtime);
      await this.#registry?.register(info);
      host.join();
    } catch (error) {
      await drain();
      throw error;
    }
    return { info, drain, [Symbol.asyncDispose]: drain };
  }

  /** The client of a contract: `mesh.get(Analyst).score(window)`, or of one key of an entity: `mesh.get(Account, "ada").deposit(5)`. */
  get<A extends Agent>(contract: A, options?: ClientOptions): Client<A>;
  get<E extends Entity>(contract: E, key: string): EntityClient<E>;
  get(contract: Agent | Entity, option?: ClientOptions | string): unknown {
    const runtime = this.#open();
    if (contract?.kind === "entity") {
      return this.#entitled(runtime).client(contract, option as string);
    }
    const options = option as ClientOptions | undefined;
    let client = options === undefined ? this.#clients.get(contract) : undefined;
    if (client === undefined) {
      client = createClient(runtime, contract, options ?? {});
      if (options === undefined) this.#clients.set(contract, client);
    }
    return client;
  }

  /** Who owns the partitions of an entity, or of all entities of the mesh. */
  shards(contract?: Entity | string): Promise<ShardInfo[]> {
    const entities = this.#entitled(this.#open());
    return entities.shards(typeof contract === "object" ? contract.name : contract);
  }

  /**
   * Submits a task to a capability declared `durable`. Resolves when the broker has stored it: from then on it is
   * executed at least once, whatever dies, and its result is recorded exactly once.
   */
  async submit<A extends Agent, K extends keyof A["capabilities"] & string>(
    contract: A,
    capability: K,
    input: z.input<A["capabilities"][K]["input"]>,
    options: SubmitOptions = {},
  ): Promise<TaskHandle<z.output<A["capabilities"][K]["output"]>>> {
    const tasks = this.#working(this.#open());
    return (await tasks.submit(contract, capability, input, options)) as TaskHandle<
      z.output<A["capabilities"][K]["output"]>
    >;
  }

  /** A task by its id, submitted by whomever. */
  task(id: string): TaskHandle {
    return this.#working(this.#open()).open(id);
  }

  /**
   * Submits a task by name, without its contract: whoever executes it checks the input, and nobody the result. A `tenant` must
   * have submitted before.
   */
  async submitByName(
    agent: string,
    capability: string,
    input: unknown,
    options: SubmitOptions = {},
  ): Promise<TaskHandle> {
    return this.#working(this.#open()).submitByName(agent, capability, input, options);
  }

  /** The newest tasks: queued, worked on, and ended as far as their results are kept. Those that changed last come last. */
  async listTasks(options: ListTasksOptions = {}): Promise<TaskStatus[]> {
    return this.#working(this.#open()).list(options);
  }

  /** The tasks that have failed for good. */
  get deadLetters(): DeadLetters {
    return this.#working(this.#open()).deadLetters;
  }

  /** Calls a capability by name, without its contract: the host checks the input, and nobody the output. */
  invoke(
    agent: string,
    capability: string,
    input: unknown,
    options?: CallOptions,
  ): Promise<unknown> {
    return callOnce(this.#route(agent, capability), input, options);
  }

  /** Calls a streaming capability by name, without its contract. */
  invokeStream(
    agent: string,
    capability: string,
    input: unknown,
    options?: StreamOptions,
  ): MeshStream<unknown, unknown> {
    return openStream(this.#route(agent, capability), input, options);
  }

  /**
   * Publishes an event, at most once. Await it: it resolves at once while there is room, and waits for the broker when
   * there is not. On a durable topic it resolves when the event is stored. Rejects with `INVALID_INPUT`,
   * `MESSAGE_TOO_LARGE`, `NOT_CONNECTED` or `OVERLOADED`; on a durable topic also with `TIMEOUT`: it may be stored.
   */
  publish<T extends Topic>(
    topic: T,
    value: z.input<T["schema"]>,
    options?: PublishOptions,
  ): Promise<void> {
    let publisher = this.#publishers.get(topic);
    if (publisher === undefined) {
      const runtime = this.#open();
      publisher =
        topic.durable === undefined
          ? new Publisher(runtime, topic)
          : this.#storing(runtime).publisher(topic);
      this.#publishers.set(topic, publisher);
    }
    return publisher.publish(value, options);
  }

  /**
   * Subscribes to a topic. Resolves when the broker knows of it: everything published afterwards arrives. With a `name`, on a
   * durable topic, it goes on where the subscription of that name stopped; with `from` alone it reads what is stored.
   */
  subscribe<T extends Topic>(
    topic: T,
    handler: StoredEventHandler<T>,
    options:
      | NamedSubscribeOptions<T["parameters"][number]>
      | ReplayOptions<T["parameters"][number]>,
  ): Promise<Subscription>;
  subscribe<T extends Topic>(
    topic: T,
    handler: EventHandler<T>,
    options?: SubscribeOptions<T["parameters"][number]>,
  ): Promise<Subscription>;
  async subscribe(
    topic: Topic,
    handler: StoredEventHandler<Topic> | EventHandler<Topic>,
    options: NamedSubscribeOptions | ReplayOptions | SubscribeOptions = {},
  ): Promise<Subscription> {
    const runtime = this.#staying();
    if (readsStore(options)) {
      const stored = await this.#storing(runtime).subscribe(topic, handler, options, (ended) =>
        this.#subscribers.delete(ended),
      );
      this.#subscribers.add(stored);
      return stored;
    }
    const subscriber = new Subscriber(
      runtime,
      topic,
      handler as ConstructorParameters<typeof Subscriber>[2],
      options,
      () => this.#subscribers.delete(subscriber),
    );
    this.#subscribers.add(subscriber);
    try {
      await confirm(runtime);
    } catch (error) {
      await subscriber.unsubscribe();
      throw error;
    }
    return subscriber;
  }

  /**
   * The last stored event of a durable topic, or of those that `where` selects: what a process that starts anew goes on from.
   * Undefined: there is none. Rejects with `INVALID_CONTRACT`, `NOT_CONNECTED`, or `BAD_MESSAGE` if it cannot be read.
   */
  async lastEvent<T extends Topic>(
    topic: T,
    options: {
      readonly where?: { readonly [P in T["parameters"][number]]?: string | number };
    } = {},
  ): Promise<StoredEventValue<z.output<T["schema"]>> | undefined> {
    const found = await this.#storing(this.#open()).last(topic, options.where ?? {});
    return found as StoredEventValue<z.output<T["schema"]>> | undefined;
  }

  /** The durable topics of the mesh: what is stored, and for how long. */
  topics(): Promise<TopicInfo[]> {
    return this.#storing(this.#open()).list();
  }

  /** The durable topic of a name, for who does not have its contract: any value is one of its events. Rejects with `NO_TOPIC`. */
  topic(name: string): Promise<Topic> {
    return this.#storing(this.#open()).find(name);
  }

  /** How far each named subscription of a durable topic is. Rejects with `NO_TOPIC`. */
  async topicLag(topic: Topic | string): Promise<TopicLag[]> {
    return this.#storing(this.#open()).lag(typeof topic === "string" ? topic : topic.name);
  }

  /**
   * Acquires the lease of a name: one process of the mesh has it at a time. Rejects with `CONFLICT` (`wait: 0`) or `TIMEOUT` when
   * somebody else has it, `CANCELED`, `NOT_CONNECTED`. Not reentrant: who has it waits for itself.
   */
  async lease(name: string, options?: LeaseOptions): Promise<Lease> {
    this.#open();
    return this.#leases!.acquire(name, options);
  }

  /** Stands for election: of all processes of the mesh that do, for one name, one runs `onElected` at a time. */
  elect(name: string, options: ElectOptions): Election {
    this.#staying();
    return this.#leases!.elect(name, options);
  }

  /** The live instances, or those of one agent. */
  agents(contract?: Agent | Entity | string): InstanceInfo[] {
    const wanted = typeof contract === "object" ? contract.name : contract;
    return [...this.#directory.peers()]
      .map((peer) => peer.info)
      .filter((info) => wanted === undefined || info.agent === wanted);
  }

  /** Calls `listener` whenever an instance joins, changes or leaves. Returns the function that ends it. */
  watch(listener: (change: MembershipChange) => void): () => void {
    return this.#directory.watch((change) => {
      try {
        listener(change);
      } catch (error) {
        this.log.error({ err: error }, "a listener of mesh.watch() failed");
      }
    });
  }

  /** Resolves once at least `instances` (default 1) of an agent are live. Rejects with `NO_AGENT` after `timeout` (30 s). */
  async waitFor(
    contract: Agent | Entity | string,
    options: { instances?: number; timeout?: Duration; signal?: AbortSignal } = {},
  ): Promise<void> {
    const { instances = 1, timeout = "30s", signal } = options;
    const name = typeof contract === "string" ? contract : contract.name;
    const missing = (): boolean => this.agents(name).length < instances;
    if (!missing()) return;
    await new Promise<void>((resolve, reject) => {
      const end = (outcome: () => void): void => {
        clearTimeout(timer);
        stop();
        signal?.removeEventListener("abort", abort);
        outcome();
      };
      const abort = (): void =>
        end(() =>
          reject(
            new MeshError("CANCELED", `No longer waiting for ${name}.`, { cause: signal?.reason }),
          ),
        );
      const stop = this.watch(() => {
        if (!missing()) end(resolve);
      });
      const timer = setTimeout(() => {
        const found = this.agents(name).length;
        const text = `${found} of ${instances} instances of agent ${name} are in mesh ${this.mesh}.`;
        end(() => reject(new MeshError("NO_AGENT", text)));
      }, toMs(timeout));
      if (signal?.aborted) abort();
      else signal?.addEventListener("abort", abort, { once: true });
    });
  }

  /** Asks an instance for its contract and its present state. */
  async inspect(instance: string, options: { timeout?: Duration } = {}): Promise<InstanceReport> {
    const timeoutMs = toMs(options.timeout ?? "2s");
    return (await ask(this.#open(), instance, "describe", timeoutMs)) as InstanceReport;
  }

  /** How calls and tasks are spread over the instances, of one agent or of all. An instance that does not answer is left out. */
  async balance(contract?: Agent | string): Promise<Balance> {
    const runtime = this.#open();
    const instances = this.agents(contract);
    const asked = instances.map(({ instance }) => this.inspect(instance).catch(() => undefined));
    const reports = (await Promise.all(asked)).filter((report) => report !== undefined);
    const agents = [...new Set(instances.map(({ agent }) => agent))];
    return this.#working(runtime).balance(agents, reports);
  }

  /** Asks an instance to drain: it leaves the mesh, finishing what it has. Resolves when it has accepted. */
  async drain(instance: string, options: { timeout?: Duration } = {}): Promise<void> {
    await ask(this.#open(), instance, "drain", toMs(options.timeout ?? "2s"));
  }

  /** Shows every message of the mesh as it passes. Returns the function that ends it. */
  tap(listener: (message: TappedMessage) => void): () => void {
    return tap(this.#open(), listener);
  }

  /** Drains every hosted instance and subscription, releases every lease, flushes, disconnects. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const entities = [...(this.#entities?.hosts ?? [])];
    await Promise.all([...this.#hosts, ...entities].map((host) => host.drain()));
    await Promise.all([...this.#subscribers].map((subscriber) => subscriber.unsubscribe()));
    await this.#topics?.settled();
    await this.#leases?.close(); // only now: handlers that were finishing may have needed them
    this.#closed = true;
    this.#tasks?.close();
    this.#topics?.close();
    this.#entities?.close();
    this.#watchdog?.close();
    this.#registry?.close();
    const runtime = this.#runtime;
    if (runtime) {
      runtime.inbox.close();
      runtime.outbox.flushTurn();
      await runtime.link.close();
    }
    await this.#server?.then(
      (server) => server.close(),
      () => undefined,
    );
    this.#metrics.registry.clear();
  }

  /** What calls and publishes need; handlers that are finishing may still make them. */
  #open(): Runtime {
    if (this.#runtime === undefined || this.#closed) {
      throw new MeshError("NOT_CONNECTED", `This connection to mesh ${this.mesh} is closed.`);
    }
    return this.#runtime;
  }

  /** What hosts and subscribers need: a connection that is not about to close. */
  #staying(): Runtime {
    if (this.#closing) {
      throw new MeshError("NOT_CONNECTED", `This connection to mesh ${this.mesh} is closing.`);
    }
    return this.#open();
  }

  #working(runtime: Runtime): Tasks {
    return (this.#tasks ??= new Tasks(runtime, this.#taskOptions));
  }

  #entitled(runtime: Runtime): Entities {
    return (this.#entities ??= new Entities(runtime, this.#leases!.store, (instance) =>
      this.#registry?.expel(instance),
    ));
  }

  #storing(runtime: Runtime): Topics {
    return (this.#topics ??= new Topics(runtime));
  }

  /** The route of a capability whose contract this process does not have. */
  #route(agent: string, capability: string): Route {
    const key = `${token("Agent", agent)}.${token("Capability", capability)}`;
    let route = this.#routes.get(key);
    if (route === undefined) {
      const spec = { input: z.unknown(), output: z.unknown(), stream: z.unknown() };
      route = createRoute(this.#open(), agent, capability, spec, {});
      this.#routes.set(key, route);
    }
    return route;
  }

  #serve(options: HttpOptions): Promise<ObservabilityServer> {
    return (this.#server ??= ObservabilityServer.open(options, this.metrics, () => {
      const hosts = [...this.#hosts, ...(this.#entities?.hosts ?? [])];
      const draining = this.#closing !== undefined || hosts.some((host) => host.draining);
      const registered = hosts.length > 0;
      const { connected } = this;
      return { ready: connected && registered && !draining, connected, registered, draining };
    }));
  }

  #connectionLost(server: string): void {
    this.log.warn({ server }, "connection to the broker lost, reconnecting");
    this.#metrics.connected.value = 0;
    this.#runtime?.inbox.connectionLost();
    this.#tasks?.connectionLost();
    this.#topics?.connectionLost();
    this.#entities?.connectionLost();
  }

  #connectionRestored(server: string): void {
    this.log.warn({ server }, "connection to the broker restored");
    this.#metrics.connected.value = 1;
    this.#metrics.reconnects.value++;
    if (this.#runtime) this.#runtime.returnsUntilMs = nowMs() + RETURN_MS;
    const waiting = [...this.#waitingForConnection];
    this.#waitingForConnection.clear();
    for (const resume of waiting) resume();
    void this.#registry?.restore();
    this.#tasks?.connectionRestored();
    this.#topics?.connectionRestored();
    this.#entities?.connectionRestored();
  }

  /** A frame that could not be sent: calls are moved, events are lost and counted. */
  #dropped(subject: string, envelopes: number, reply: string | undefined): void {
    const runtime = this.#runtime;
    if (runtime === undefined) return;
    if (reply !== undefined) {
      runtime.inbox.frameDropped(reply);
      return;
    }
    const isEvent = subject.startsWith(runtime.subjects.event(""));
    const cell = this.#metrics.lost.with({ topic: isEvent ? "*" : "-", reason: "disconnected" });
    cell.value += envelopes;
    this.log.warn({ subject, envelopes }, "messages dropped: the broker is away");
  }

  #refresh(metrics: Metrics): void {
    for (const cell of metrics.inflight.cells) cell.cell.value = 0;
    for (const cell of metrics.queueDepth.cells) cell.cell.value = 0;
    for (const { contract, gate } of this.#hosts) {
      metrics.inflight.with({ agent: contract.name }).value += gate.running;
      metrics.queueDepth.with({ agent: contract.name }).value += gate.queued;
    }
    for (const cell of metrics.partitionsOwned.cells) cell.cell.value = 0;
    for (const cell of metrics.activeKeys.cells) cell.cell.value = 0;
    for (const { contract, running, partitions, keys } of this.#entities?.hosts ?? []) {
      const labels = { agent: contract.name };
      metrics.inflight.with(labels).value += running;
      metrics.partitionsOwned.with(labels).value += partitions;
      metrics.activeKeys.with(labels).value += keys;
    }
    for (const cell of metrics.tasksRunning.cells) cell.cell.value = 0;
    for (const [agent, count] of this.#tasks?.running() ?? []) {
      metrics.tasksRunning.with({ agent }).value += count;
    }
    for (const cell of metrics.instances.cells) cell.cell.value = 0;
    for (const [agent, count] of this.#directory.counts())
      metrics.instances.with({ agent }).value = count;
  }
}

/** Waits until the broker knows the subscriptions made so far. */
async function confirm(runtime: Runtime): Promise<void> {
  if (await runtime.link.settle()) return;
  throw new MeshError("NOT_CONNECTED", "The broker does not answer.");
}
