import {
  Workspaces,
  token,
  toMs,
  type Agent,
  type Checkpointer,
  type Duration,
  type Entity,
  type Journal,
  type State,
  type ThreadKeeper,
  type Topic,
} from "@plexus/core";
import type { Registry as MetricsRegistry } from "prom-client";
import type { z } from "zod";
import { Access } from "./access.ts";
import { ask } from "./ask.ts";
import type { Balance } from "./balance.ts";
import type { Bucket, BucketOptions } from "./bucket.ts";
import { openStream, type Client, type ClientOptions } from "./client.ts";
import type { CommandHandler } from "./command-execution.ts";
import type { DeadLetters } from "./dead-letters.ts";
import type { InstanceInfo, MembershipChange } from "./directory.ts";
import type { ElectOptions, Election } from "./election.ts";
import type { EntityClient } from "./entity-client.ts";
import type { EntityHandlers, EntityHostOptions } from "./entity-host.ts";
import type { EventHandler, PublishOptions, SubscribeOptions, Subscription } from "./events.ts";
import type { CallOptions } from "./route.ts";
import type { Handlers, HostOptions } from "./host.ts";
import type { InstanceReport } from "./instance-report.ts";
import type { Hosted } from "./hosting.ts";
import type { JournalClient } from "./journal-client.ts";
import type { JournalCatalog } from "./journal-transfer.ts";
import type { Lease, LeaseOptions } from "./lease.ts";
import type { Lock, LockInfo, LockOptions } from "./locks.ts";
import type { Logger } from "./log.ts";
import { createMeter, type Meter } from "./meter.ts";
import type { TopicInfo, TopicLag } from "./nats/topic-status.ts";
import type { AnyHandler } from "./served-call.ts";
import type { Projection, ProjectionSpec } from "./projection.ts";
import { Session, type ConnectOptions } from "./session.ts";
import type { SharedState } from "./shared-state.ts";
import type { ShardInfo } from "./shards.ts";
import type {
  NamedSubscribeOptions,
  ReplayOptions,
  StoredEventHandler,
  StoredEventValue,
} from "./stored-event.ts";
import type { MeshStream, StreamOptions } from "./stream-call.ts";
import { tap, type TappedMessage } from "./tap.ts";
import type { TaskHandle } from "./task-handle.ts";
import type { ListTasksOptions } from "./task-list.ts";
import type { TaskStatus } from "./task-status.ts";
import type { SubmitOptions } from "./task-submitter.ts";
import { callOnce } from "./unary-call.ts";
import type { ThreadStore } from "./thread-store.ts";
import { waitForAgent, type WaitForOptions } from "./wait-for.ts";
import type { Workspace, WorkspaceOptions } from "./workspace.ts";

/** Joins a mesh. Throws `NOT_CONNECTED`, `UNAUTHORIZED`, `INCOMPATIBLE_BROKER` or `INVALID_INPUT` when that is impossible. */
export async function connect(options: ConnectOptions = {}): Promise<Mesh> {
  return new Mesh(await Session.open(options));
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
  readonly #session: Session;
  readonly #access: Access;
  #meter: Meter | undefined;

  /** Use {@link connect}. */
  constructor(session: Session) {
    this.#session = session;
    this.#access = new Access(session);
    this.mesh = session.mesh;
    this.name = session.name;
    this.client = session.client;
    this.log = session.log;
  }

  /** True while there is a connection to the broker; it comes back by itself. */
  get connected(): boolean {
    return this.#session.connected;
  }

  /** prom-client's registry with this connection's metrics. */
  get metrics(): MetricsRegistry {
    return this.#session.metrics.registry;
  }

  /** Makes further metrics, served with the mesh's own. */
  get meter(): Meter {
    return (this.#meter ??= createMeter(this.#session.metrics.registry));
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
    const { hosting } = this.#session;
    if (contract?.kind === "entity") {
      return hosting.entity(contract, handlers as Record<string, CommandHandler>, options);
    }
    return hosting.agent(contract, handlers as Record<string, AnyHandler>, options);
  }

  /** The client of a contract: `mesh.get(Analyst).score(window)`, or of one key of an entity: `mesh.get(Account, "ada").deposit(5)`. */
  get<A extends Agent>(contract: A, options?: ClientOptions): Client<A>;
  get<E extends Entity>(contract: E, key: string): EntityClient<E>;
  get(contract: Agent | Entity, option?: ClientOptions | string): unknown {
    if (contract?.kind === "entity") {
      return this.#session.entities.client(contract, option as string);
    }
    return this.#access.client(contract, option as ClientOptions | undefined);
  }

  /** Who owns the partitions of an entity, or of all entities of the mesh. */
  shards(contract?: Entity | string): Promise<ShardInfo[]> {
    return this.#session.entities.shards(typeof contract === "object" ? contract.name : contract);
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
    return (await this.#session.tasks.submit(contract, capability, input, options)) as TaskHandle<
      z.output<A["capabilities"][K]["output"]>
    >;
  }

  /** A task by its id, submitted by whomever. */
  task(id: string): TaskHandle {
    return this.#session.tasks.open(id);
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
    return this.#session.tasks.submitByName(agent, capability, input, options);
  }

  /** The newest tasks: queued, worked on, and ended as far as their results are kept. Those that changed last come last. */
  async listTasks(options: ListTasksOptions = {}): Promise<TaskStatus[]> {
    return this.#session.tasks.list(options);
  }

  /** The tasks that have failed for good. */
  get deadLetters(): DeadLetters {
    return this.#session.tasks.deadLetters;
  }

  /** Calls a capability by name, without its contract: the host checks the input, and nobody the output. */
  invoke(
    agent: string,
    capability: string,
    input: unknown,
    options?: CallOptions,
  ): Promise<unknown> {
    return callOnce(this.#access.route(agent, capability), input, options);
  }

  /** Calls a streaming capability by name, without its contract. */
  invokeStream(
    agent: string,
    capability: string,
    input: unknown,
    options?: StreamOptions,
  ): MeshStream<unknown, unknown> {
    return openStream(this.#access.route(agent, capability), input, options);
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
    return this.#access.publisher(topic).publish(value, options);
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
    return this.#access.subscribe(topic, handler, options);
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
    const found = await this.#session.topics.last(topic, options.where ?? {});
    return found as StoredEventValue<z.output<T["schema"]>> | undefined;
  }

  /** The durable topics of the mesh: what is stored, and for how long. */
  topics(): Promise<TopicInfo[]> {
    return this.#session.topics.list();
  }

  /** The durable topic of a name, for who does not have its contract: any value is one of its events. Rejects with `NO_TOPIC`. */
  topic(name: string): Promise<Topic> {
    return this.#session.topics.find(name);
  }

  /** How far each named subscription of a durable topic is. Rejects with `NO_TOPIC`. */
  async topicLag(topic: Topic | string): Promise<TopicLag[]> {
    return this.#session.topics.lag(typeof topic === "string" ? topic : topic.name);
  }

  /** A journal: typed events by key, appended with optimistic concurrency, read and followed from any position. */
  journal<J extends Journal>(contract: J): JournalClient<J> {
    return this.#session.journals.client(contract) as unknown as JournalClient<J>;
  }

  /** The journals of the mesh, without their contracts: listing, exporting, importing, checking. */
  get journals(): JournalCatalog {
    return this.#session.journals.catalog;
  }

  /** A state that follows the events of a journal or of an entity: in memory, or kept by the broker together with how far it is. */
  async project<S extends Journal | Entity, Folded>(
    source: S,
    spec: ProjectionSpec<S, Folded>,
  ): Promise<Projection<Folded>> {
    this.#session.staying();
    const projection = await this.#session.journals.project(source, spec as never);
    return projection as Projection<Folded>;
  }

  /**
   * Acquires the lease of a name: one process of the mesh has it at a time. Rejects with `CONFLICT` (`wait: 0`) or `TIMEOUT` when
   * somebody else has it, `CANCELED`, `NOT_CONNECTED`. Not reentrant: who has it waits for itself.
   */
  async lease(name: string, options?: LeaseOptions): Promise<Lease> {
    this.#session.opened();
    return this.#session.leases.acquire(name, options);
  }

  /**
   * Acquires the lock of a name, in the order in which processes ask: a lease whose holder says what it is for. Rejects with
   * `CONFLICT` (`wait: 0`) or `TIMEOUT`, which say who has it and what for, `CANCELED`, `NOT_CONNECTED`. Not reentrant.
   */
  async lock(name: string, options: LockOptions): Promise<Lock> {
    this.#session.staying();
    return this.#session.locks.acquire(name, options);
  }

  /** The locks that somebody holds or waits for, and what for. */
  locks(): Promise<LockInfo[]> {
    return this.#session.locks.list();
  }

  /** Stands for election: of all processes of the mesh that do, for one name, one runs `onElected` at a time. */
  elect(name: string, options: ElectOptions): Election {
    this.#session.staying();
    return this.#session.leases.elect(name, options);
  }

  /** Small values that the processes of this mesh share, with compare-and-set. Costs nothing until it is used. */
  bucket(name: string, options: BucketOptions = {}): Bucket {
    return this.#session.buckets.open(token("Bucket", name), options);
  }

  /** A shared state: small values by key that any process reads and changes, with compare-and-swap. */
  state<S extends z.ZodType>(contract: State<S>): SharedState<S> {
    return this.#session.states.open(contract);
  }

  /** Offers to own workspaces of this mesh: one of the processes that do owns each, and when it dies, another. */
  hostWorkspaces(options?: EntityHostOptions): Promise<Hosted> {
    return this.host(Workspaces, this.#session.workspaces.handlers, options);
  }

  /** A versioned tree of files that many agents edit at once, each in its own name. It needs somebody who hosts it. */
  workspace(name: string, options: WorkspaceOptions = {}): Workspace {
    return this.#session.workspaces.open(name, this.get(Workspaces, name), options);
  }

  /**
   * Offers to own threads: one of the processes that do owns each, executes it by its keeper, and when it dies, another goes on.
   * What `@plexus/workflow` hosts graphs with.
   */
  hostThreads(
    contract: Entity,
    keep: (store: Checkpointer) => ThreadKeeper,
    options: EntityHostOptions = {},
  ): Promise<Hosted> {
    return this.#session.hosting.threads(contract, keep, options);
  }

  /** What is recorded of threads, read without asking their owners. */
  threads(contract: Entity): ThreadStore {
    return this.#session.entities.threads(contract);
  }

  /** The live instances, or those of one agent. */
  agents(contract?: Agent | Entity | string): InstanceInfo[] {
    const wanted = typeof contract === "object" ? contract.name : contract;
    return [...this.#session.directory.peers()]
      .map((peer) => peer.info)
      .filter((info) => wanted === undefined || info.agent === wanted);
  }

  /** Calls `listener` whenever an instance joins, changes or leaves. Returns the function that ends it. */
  watch(listener: (change: MembershipChange) => void): () => void {
    return this.#session.directory.watch((change) => {
      try {
        listener(change);
      } catch (error) {
        this.log.error({ err: error }, "a listener of mesh.watch() failed");
      }
    });
  }

  /** Resolves once at least `instances` (default 1) of an agent are live. Rejects with `NO_AGENT` after `timeout` (30 s). */
  async waitFor(contract: Agent | Entity | string, options: WaitForOptions = {}): Promise<void> {
    const { directory, ended, mesh } = this.#session;
    const name = typeof contract === "string" ? contract : contract.name;
    await waitForAgent(directory, ended, mesh, name, options);
  }

  /** Asks an instance for its contract and its present state. */
  async inspect(instance: string, options: { timeout?: Duration } = {}): Promise<InstanceReport> {
    const timeoutMs = toMs(options.timeout ?? "2s");
    return (await ask(this.#session.opened(), instance, "describe", timeoutMs)) as InstanceReport;
  }

  /** How calls and tasks are spread over the instances, of one agent or of all. An instance that does not answer is left out. */
  async balance(contract?: Agent | string): Promise<Balance> {
    const instances = this.agents(contract);
    const asked = instances.map(({ instance }) => this.inspect(instance).catch(() => undefined));
    const reports = (await Promise.all(asked)).filter((report) => report !== undefined);
    const agents = [...new Set(instances.map(({ agent }) => agent))];
    return this.#session.tasks.balance(agents, reports);
  }

  /** Asks an instance to drain: it leaves the mesh, finishing what it has. Resolves when it has accepted. */
  async drain(instance: string, options: { timeout?: Duration } = {}): Promise<void> {
    await ask(this.#session.opened(), instance, "drain", toMs(options.timeout ?? "2s"));
  }

  /** Shows every message of the mesh as it passes. Returns the function that ends it. */
  tap(listener: (message: TappedMessage) => void): () => void {
    return tap(this.#session.opened(), listener);
  }

  /** Drains every hosted instance and subscription, releases every lease, flushes, disconnects. */
  close(): Promise<void> {
    return this.#session.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
