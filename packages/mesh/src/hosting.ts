import { hostname } from "node:os";
import { MeshError, type Agent, type Entity, type ThreadKeeper } from "@plexus/core";
import type { CommandHandler } from "./command-execution.ts";
import type { InstanceInfo } from "./directory.ts";
import type { EntityHostOptions, HostedEntity } from "./entity-host.ts";
import type { PartitionMaker } from "./hosted-partition.ts";
import { entityPartitions } from "./entity-partitions.ts";
import { ThreadPartition } from "./thread-partition.ts";
import type { ThreadStore } from "./thread-store.ts";
import { HostedAgent, instanceInfo, type HostOptions } from "./host.ts";
import { MicroFace } from "./micro.ts";
import { ObservabilityServer, type HttpOptions } from "./observability.ts";
import type { AnyHandler } from "./served-call.ts";
import type { Entities } from "./entities.ts";
import type { Metrics } from "./metrics.ts";
import type { Registry } from "./registry.ts";
import type { Runtime } from "./runtime.ts";
import { TaskWorker } from "./task-worker.ts";
import type { Tasks } from "./tasks.ts";

/** What hosting needs of the connection that it belongs to. */
export interface HostingSite {
  readonly client: string;
  readonly connected: boolean;
  readonly closing: boolean;
  readonly metrics: Metrics;
  readonly registry: Registry;
  readonly tasks: Tasks;
  readonly entities: Entities;
  /** Entities hosted so far. */
  readonly hostedEntities: Iterable<HostedEntity>;
  /** Throws `NOT_CONNECTED` if the connection is about to close. */
  staying(): Runtime;
  /** Resolves when the broker knows the subscriptions made so far. */
  confirm(): Promise<void>;
}

/** A hosted instance; disposing it drains. */
export interface Hosted extends AsyncDisposable {
  readonly info: InstanceInfo;
  /** Leaves the mesh without losing a call. Resolves when the last one is answered. */
  drain(): Promise<void>;
}

/** The instances that one mesh connection hosts, and where they can be looked at. */
export class Hosting {
  readonly agents = new Set<HostedAgent>();
  readonly #site: HostingSite;
  readonly #http: HttpOptions | false;
  readonly #micro: MicroFace;
  #server: Promise<ObservabilityServer> | undefined;
  #count = 0;

  constructor(site: HostingSite, runtime: Runtime, http: HttpOptions | false) {
    this.#site = site;
    this.#http = http;
    this.#micro = new MicroFace(runtime);
  }

  /** Hosts an instance of an agent. */
  async agent(
    contract: Agent,
    handlers: Record<string, AnyHandler>,
    options: HostOptions,
  ): Promise<Hosted> {
    const site = this.#site;
    const runtime = site.staying();
    if (contract?.kind !== "agent") {
      const text = "mesh.host() takes a contract made by agent() or entity().";
      throw new MeshError("INVALID_CONTRACT", text);
    }
    const info = instanceInfo(runtime, contract, options, await this.#place());
    site.staying();
    const host = new HostedAgent(runtime, contract, handlers, options, info, async () => {
      await site.registry.leave(info);
      this.#micro.remove(host);
    });
    const drain = async (): Promise<void> => {
      await host.drain();
      this.agents.delete(host);
    };
    host.listen();
    this.agents.add(host);
    this.#micro.add(host);
    const { served, drainTimeoutMs } = host;
    const slots = options.taskConcurrency ?? info.concurrency;
    const work = { contract, instance: info.instance, served, slots, drainTimeoutMs };
    const tasks = TaskWorker.needed(work) ? site.tasks : undefined;
    tasks?.listen();
    return this.#entered(info, drain, async () => {
      if (tasks === undefined) return;
      host.tasks = await tasks.work(work);
      if (host.draining) await host.tasks.drain(); // which has not seen them
    });
  }

  /** Hosts an instance of an entity. */
  async entity(
    contract: Entity,
    handlers: Record<string, CommandHandler>,
    options: EntityHostOptions,
  ): Promise<Hosted> {
    return this.#partitions(contract, entityPartitions(contract, handlers, options), options);
  }

  /** Hosts an instance that owns threads. */
  async threads(
    contract: Entity,
    keep: (store: ThreadStore) => ThreadKeeper,
    options: EntityHostOptions,
  ): Promise<Hosted> {
    this.#site.staying();
    const store = this.#site.entities.threads(contract);
    const keeper = keep(store);
    const make: PartitionMaker = (home, partition, epoch) =>
      new ThreadPartition(home, keeper, store, partition, epoch);
    return this.#partitions(contract, make, options);
  }

  /** Hosts an instance that owns partitions, whatever is in them. */
  async #partitions(
    contract: Entity,
    make: PartitionMaker,
    options: EntityHostOptions,
  ): Promise<Hosted> {
    const site = this.#site;
    const runtime = site.staying();
    const { name, version, commands: capabilities } = contract;
    const described = { name, version, capabilities };
    const info = instanceInfo(runtime, described, options, await this.#place());
    site.staying();
    const leave = async (host: HostedEntity): Promise<void> => {
      await site.registry.leave(info);
      this.#micro.remove(host);
    };
    const host = await site.entities.host(contract, make, options, info, leave);
    this.#micro.add(host);
    return this.#entered(
      info,
      () => host.drain(),
      async () => host.join(),
    );
  }

  async drain(): Promise<void> {
    await Promise.all([...this.agents, ...this.#site.hostedEntities].map((host) => host.drain()));
  }

  async close(): Promise<void> {
    await this.#server?.then(
      (server) => server.close(),
      () => undefined,
    );
  }

  /** Enters an instance that listens already, and begins its work; leaves again if that fails. */
  async #entered(
    info: InstanceInfo,
    drain: () => Promise<void>,
    begin: () => Promise<void>,
  ): Promise<Hosted> {
    try {
      // The broker must know the subscriptions before anyone learns that the instance exists.
      await this.#site.confirm();
      await this.#site.registry.register(info);
      await begin();
      this.#site.staying();
    } catch (error) {
      await drain();
      await this.#site.registry.leave(info); // it may have entered only after it had been drained
      throw error;
    }
    return { info, drain, [Symbol.asyncDispose]: drain };
  }

  async #place(): Promise<{ instance: string; host: string; http: string | undefined }> {
    const http = this.#http === false ? undefined : (await this.#serve(this.#http)).url;
    return { instance: `${this.#site.client}-${++this.#count}`, host: hostname(), http };
  }

  #serve(options: HttpOptions): Promise<ObservabilityServer> {
    const site = this.#site;
    return (this.#server ??= ObservabilityServer.open(options, site.metrics.registry, () => {
      const hosts = [...this.agents, ...this.#site.hostedEntities];
      const draining = site.closing || hosts.some((host) => host.draining);
      const registered = hosts.length > 0;
      const { connected } = site;
      return { ready: connected && registered && !draining, connected, registered, draining };
    }));
  }
}
