import { MeshError, isMeshError, type Entity } from "@plexus/core";
import type { PartitionMaker } from "./hosted-partition.ts";
import type { InstanceInfo } from "./directory.ts";
import { nowMs } from "./clock.ts";
import { EntityCaller } from "./entity-client.ts";
import { HostedEntity, type EntityHostOptions } from "./entity-host.ts";
import { EntityServices } from "./entity-services.ts";
import { EntityStore } from "./nats/entity-store.ts";
import { JetStream } from "./nats/jetstream.ts";
import type { LeaseStore } from "./nats/lease-store.ts";
import type { Runtime } from "./runtime.ts";
import { layoutKey } from "./shard-record.ts";
import { ThreadStore } from "./thread-store.ts";
import { listShards, type ShardInfo } from "./shards.ts";

const WRITE_TIMEOUT_MS = 2_000;
const START_TIMEOUT_MS = 15_000; // a cluster that has lost a node answers when it has elected its leaders again

/** The entities of one mesh connection: hosted here, or called from here. */
export class Entities {
  readonly #runtime: Runtime;
  readonly #leases: LeaseStore;
  readonly #expel: (instance: string) => void;
  readonly #js: JetStream;
  readonly #services: EntityServices;
  readonly #hosts = new Set<HostedEntity>();
  readonly #callers = new WeakMap<Entity, EntityCaller>();

  /** @param expel takes an instance out of the registry that is not connected any more */
  constructor(runtime: Runtime, leases: LeaseStore, expel: (instance: string) => void) {
    this.#runtime = runtime;
    this.#leases = leases;
    this.#expel = expel;
    const { link, subjects, client } = runtime;
    this.#js = new JetStream(link, `${subjects.inbox(client)}.ejs`);
    const store = new EntityStore(link, subjects);
    this.#services = new EntityServices(runtime, this.#js, store);
  }

  get hosts(): Iterable<HostedEntity> {
    return this.#hosts;
  }

  /** Makes an instance that listens, but owns nothing before `join()`. */
  async host(
    contract: Entity,
    make: PartitionMaker,
    options: EntityHostOptions,
    info: InstanceInfo,
    leave: (host: HostedEntity) => Promise<void>,
  ): Promise<HostedEntity> {
    const host: HostedEntity = new HostedEntity(
      this.#services,
      this.#leases,
      this.#expel,
      contract,
      make,
      options,
      info,
      async () => {
        await leave(host);
        this.#hosts.delete(host);
      },
    );
    const untilMs = nowMs() + START_TIMEOUT_MS;
    const { store } = this.#services;
    await this.#services.surely(() => store.open(), undefined, untilMs);
    await this.#services.surely(() => this.#agreeOnLayout(contract), undefined, untilMs);
    this.#hosts.add(host);
    host.listen();
    return host;
  }

  /** The threads of a graph, as this connection reads them. */
  threads(contract: Entity): ThreadStore {
    return new ThreadStore(this.#services, contract);
  }

  /** The client of one key. */
  client(contract: Entity, key: string): Record<string, unknown> {
    let caller = this.#callers.get(contract);
    if (caller === undefined) {
      caller = new EntityCaller(this.#services, contract);
      this.#callers.set(contract, caller);
    }
    return caller.of(key);
  }

  shards(entity?: string): Promise<ShardInfo[]> {
    const { directory } = this.#runtime;
    return listShards(this.#leases, (instance) => directory.get(instance)?.info, entity);
  }

  connectionLost(): void {
    this.#js.connectionLost();
    for (const host of this.#hosts) host.connectionLost();
  }

  connectionRestored(): void {
    for (const host of this.#hosts) host.connectionRestored();
  }

  close(): void {
    this.#services.close();
    this.#js.close();
  }

  /** The first host of an entity decides how many partitions it has; keys would move if another had another number. */
  async #agreeOnLayout({ name, partitions }: Entity): Promise<void> {
    const key = layoutKey(name);
    const layout = Buffer.from(JSON.stringify({ partitions }));
    try {
      await this.#leases.write(key, layout, 0, WRITE_TIMEOUT_MS);
    } catch (error) {
      if (!isMeshError(error, "CONFLICT")) throw error;
      const found = await this.#leases.read(key);
      const there: unknown = found && JSON.parse(Buffer.from(found.value).toString("utf8"));
      const number = (there as { partitions?: unknown } | undefined)?.partitions;
      if (number === partitions) return;
      throw new MeshError(
        "INVALID_CONTRACT",
        `Entity ${name} has ${String(number)} partitions in this mesh, not ${partitions}: keys would move.`,
        { cause: error },
      );
    }
  }
}
