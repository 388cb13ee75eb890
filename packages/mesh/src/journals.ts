import { MeshError, type Journal } from "@plexus/core";
import type { Bucket } from "./bucket.ts";
import { demandSource, entitySource, journalSource, type SourceContract } from "./event-source.ts";
import { OpenJournal, demandName } from "./journal-client.ts";
import { Compactions } from "./journal-compactions.ts";
import type { Following } from "./journal-follower.ts";
import type { JournalHome } from "./journal-home.ts";
import { JournalServices } from "./journal-services.ts";
import { JournalTransfer, type JournalCatalog } from "./journal-transfer.ts";
import { JournalWriter } from "./journal-writer.ts";
import type { Leases } from "./leases.ts";
import { EntityStore } from "./nats/entity-store.ts";
import { JetStream } from "./nats/jetstream.ts";
import { JournalStore } from "./nats/journal-store.ts";
import { BucketProjection } from "./projection-bucket.ts";
import { MemoryProjection } from "./projection-memory.ts";
import type { Projection, ProjectionSpec, ResolvedProjection } from "./projection.ts";
import type { Runtime } from "./runtime.ts";

/** The journals of one mesh connection. */
export class Journals implements JournalHome {
  readonly services: JournalServices;
  readonly leases: Leases;
  readonly compactions: Compactions;
  readonly catalog: JournalCatalog;
  readonly #entities: EntityStore;
  /** One for each name, whatever contracts of it there are: so what the process appends has one order. */
  readonly #writers = new Map<string, JournalWriter>();
  readonly #clients = new WeakMap<Journal, OpenJournal>();
  readonly #followings = new Set<Pick<Following, "stop">>();
  #draining = false;

  constructor(runtime: Runtime, leases: Leases, bucket: Bucket) {
    const { link, subjects, client } = runtime;
    const js = new JetStream(link, `${subjects.inbox(client)}.jjs`);
    this.services = new JournalServices(runtime, js, new JournalStore(link, subjects));
    this.leases = leases;
    this.catalog = new JournalTransfer(this.services);
    this.compactions = new Compactions(this.services, bucket);
    this.#entities = new EntityStore(link, subjects);
  }

  client(journal: Journal): OpenJournal {
    if (journal?.kind !== "journal") {
      throw new MeshError("INVALID_CONTRACT", "mesh.journal() takes a contract made by journal().");
    }
    let client = this.#clients.get(journal);
    if (client === undefined) {
      let writer = this.#writers.get(journal.name);
      if (writer === undefined) {
        writer = new JournalWriter(this.services, journal);
        this.#writers.set(journal.name, writer);
      }
      client = new OpenJournal(this, journal, writer);
      this.#clients.set(journal, client);
    }
    return client;
  }

  /** See `mesh.project()`. */
  async project(
    contract: SourceContract,
    {
      name,
      initial,
      on,
      store = "memory",
      version = 1,
      onProgress,
    }: ProjectionSpec<SourceContract, unknown>,
  ): Promise<Projection<unknown>> {
    demandSource(contract);
    demandName(name);
    const first = (): unknown =>
      typeof initial === "function" ? (initial as () => unknown)() : structuredClone(initial);
    const spec: ResolvedProjection = {
      name,
      version,
      on,
      initial: first,
    };
    const { services, compactions } = this;
    const source =
      contract.kind === "journal"
        ? journalSource(services, contract)
        : entitySource(this.#entities, contract, services.runtime.subjects.logOf(contract.name));
    const projection =
      store === "memory"
        ? new MemoryProjection(services, compactions, source, spec)
        : new BucketProjection(services, this.leases, compactions, source, spec);
    await projection.open(onProgress);
    return this.keep(projection);
  }

  async keep<F extends Pick<Following, "stop" | "ended">>(following: F): Promise<F> {
    if (this.#draining) {
      await following.stop();
      throw new MeshError("NOT_CONNECTED", "This connection to the mesh is closing.");
    }
    this.#followings.add(following);
    const forget = (): void => void this.#followings.delete(following);
    following.ended.then(forget, forget);
    return following;
  }

  /** Ends what follows; resolves when everything that was appended is stored, or out of time. */
  async drain(): Promise<void> {
    this.#draining = true;
    await Promise.all([...this.#followings].map((following) => following.stop()));
    await Promise.all([...this.#writers.values()].map((writer) => writer.settled()));
  }

  connectionLost(): void {
    this.services.js.connectionLost();
  }

  connectionRestored(): void {
    this.services.store.forget();
    this.#entities.forget();
  }

  close(): void {
    this.services.close();
    this.services.js.close();
  }
}
