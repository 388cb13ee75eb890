import { randomInt } from "node:crypto";
import { MeshError, createSubjects, toMs, token, type Duration } from "@plexus/core";
import { Absentees } from "./absentees.ts";
import { Buckets } from "./bucket.ts";
import { nowMs } from "./clock.ts";
import { Directory } from "./directory.ts";
import { Entities } from "./entities.ts";
import type { HostedEntity } from "./entity-host.ts";
import type { Subscription } from "./events.ts";
import { refreshGauges } from "./gauges.ts";
import { Hosting, type HostingSite } from "./hosting.ts";
import { Inbox } from "./inbox.ts";
import { Journals } from "./journals.ts";
import { Leases } from "./leases.ts";
import { Locks } from "./locks.ts";
import { createLogger, type Logger } from "./log.ts";
import { Metrics } from "./metrics.ts";
import { LeaseStore } from "./nats/lease-store.ts";
import { Link } from "./nats/link.ts";
import { RegistryStore } from "./nats/registry-store.ts";
import type { HttpOptions } from "./observability.ts";
import { Outbox } from "./outbox.ts";
import { Registry } from "./registry.ts";
import { noteBadMessage, type Runtime } from "./runtime.ts";
import { DEFAULT_SERVER, parseServers } from "./servers.ts";
import { States } from "./states.ts";
import { untilConnected } from "./surely.ts";
import { Onlookers } from "./tap.ts";
import { Tasks, type TaskOptions } from "./tasks.ts";
import { Topics } from "./topics.ts";
import { Watchdog } from "./watchdog.ts";
import { Workspaces } from "./workspaces.ts";

/** Options of `connect`; each falls back to the environment variable named, unless that is empty. */
export interface ConnectOptions {
  /** NATS URLs. PLEXUS_SERVERS (comma separated), else nats://127.0.0.1:4222. */
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

/** Who a process is in a mesh. */
interface Identity {
  readonly mesh: string;
  readonly name: string;
  readonly client: string;
  readonly log: Logger;
}

const CONFIRM_MS = 10_000; // without a broker
const CONFIRM_PAUSE_MS = 100;
const RETURN_MS = 5_000; // processes try to reconnect every 250 to 500 ms and then register again

/** One connection to a mesh and all that lives on it: made when it is needed, told when the connection breaks, closed in order. */
export class Session implements HostingSite {
  readonly mesh: string;
  readonly name: string;
  readonly client: string;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly directory = new Directory(nowMs);
  readonly subscriptions = new Set<Subscription>();
  readonly hosting: Hosting;
  readonly leases: Leases;
  readonly registry: Registry;
  readonly #runtime: Runtime;
  readonly #taskOptions: TaskOptions;
  readonly #watchdog: Watchdog;
  readonly #waitingForConnection = new Set<() => void>();
  #droppedEnvelopes = 0; // since the connection broke
  #tasks: Tasks | undefined;
  #topics: Topics | undefined;
  #entities: Entities | undefined;
  #buckets: Buckets | undefined;
  #journals: Journals | undefined;
  #states: States | undefined;
  #locks: Locks | undefined;
  #workspaces: Workspaces | undefined;
  #closing: Promise<void> | undefined;
  readonly #ended = new AbortController();

  /** Connects and waits until the registry is known. Throws as `connect` does. */
  static async open(options: ConnectOptions): Promise<Session> {
    const identity = identify(options);
    const servers = options.servers ?? fromEnvironment("PLEXUS_SERVERS") ?? DEFAULT_SERVER;
    const { user, password, token: secret } = options;
    const link = await Link.open(
      {
        ...parseServers(servers),
        name: identity.client,
        timeoutMs: toMs(options.timeout ?? "5s"),
        ...(user === undefined ? {} : { user }),
        ...(password === undefined ? {} : { password }),
        ...(secret === undefined ? {} : { token: secret }),
      },
      {
        lost: (server) => session.#connectionLost(server),
        restored: (server) => session.#connectionRestored(server),
        error: (error) =>
          identity.log.error({ err: error }, "error on the connection to the broker"),
      },
    );
    const session: Session = new Session(identity, link, options);
    try {
      await session.registry.start();
    } catch (error) {
      await session.close();
      throw error;
    }
    return session;
  }

  private constructor(identity: Identity, link: Link, options: ConnectOptions) {
    const { mesh, name, client, log } = identity;
    this.mesh = mesh;
    this.name = name;
    this.client = client;
    this.log = log;
    this.#taskOptions = options.tasks ?? {};
    const metrics = new Metrics(() => this.#refresh());
    this.metrics = metrics;
    const subjects = createSubjects(mesh);
    const outbox = new Outbox(link, {
      sent: (subject, envelopes, bytes) => {
        metrics.frames.value++;
        metrics.frameEnvelopes.value += envelopes;
        onlookers.show(subject, bytes);
      },
      dropped: (subject, envelopes, reply) => this.#dropped(subject, envelopes, reply),
      refused: (subject, error) => log.error({ err: error, subject }, "a message cannot be sent"),
    });
    const runtime: Runtime = {
      client,
      name,
      subjects,
      link,
      outbox,
      inbox: new Inbox(link, subjects.inbox(client), (error) => noteBadMessage(runtime, error)),
      directory: this.directory,
      get absentees() {
        return absentees;
      },
      metrics,
      log,
      returnsUntilMs: -Infinity,
      whenConnected: (resume) => {
        this.#waitingForConnection.add(resume);
        return () => this.#waitingForConnection.delete(resume);
      },
    };
    const absentees = new Absentees(runtime);
    const onlookers = new Onlookers(runtime);
    this.#runtime = runtime;
    metrics.connected.value = 1;
    const port = fromEnvironment("PLEXUS_HTTP_PORT");
    const http =
      options.http ?? (port === undefined ? {} : { port: Number(port), host: "0.0.0.0" });
    this.hosting = new Hosting(this, runtime, http);
    this.#watchdog = new Watchdog(runtime, this.hosting.agents);
    this.leases = new Leases(runtime, new LeaseStore(link, mesh));
    this.registry = new Registry(
      new RegistryStore(link, mesh, log),
      this.directory,
      absentees,
      log,
    );
  }

  get connected(): boolean {
    return this.#runtime.link.connected;
  }

  get closing(): boolean {
    return this.#closing !== undefined;
  }

  /** Fires, with `NOT_CONNECTED`, once it is closed. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** What calls and publishes need; handlers that are finishing may still make them. Throws `NOT_CONNECTED` once it is closed. */
  opened(): Runtime {
    this.ended.throwIfAborted();
    return this.#runtime;
  }

  staying(): Runtime {
    if (this.closing) {
      throw new MeshError("NOT_CONNECTED", `This connection to mesh ${this.mesh} is closing.`);
    }
    return this.opened();
  }

  /**
   * Resolves when the broker knows what was subscribed, also if the connection breaks and is back meanwhile. Rejects with
   * `NOT_CONNECTED` if there is none for some seconds.
   */
  async confirm(): Promise<void> {
    const giveUpMs = nowMs() + CONFIRM_MS;
    while (!(await this.#runtime.link.settle())) {
      this.opened();
      if (nowMs() >= giveUpMs) throw new MeshError("NOT_CONNECTED", "The broker does not answer.");
      await untilConnected(this.#runtime, CONFIRM_PAUSE_MS);
    }
  }

  get tasks(): Tasks {
    const runtime = this.opened();
    return (this.#tasks ??= new Tasks(runtime, this.#taskOptions));
  }

  get topics(): Topics {
    const runtime = this.opened();
    return (this.#topics ??= new Topics(runtime));
  }

  get entities(): Entities {
    const runtime = this.opened();
    return (this.#entities ??= new Entities(runtime, this.leases.store, (instance) =>
      this.registry.expel(instance),
    ));
  }

  get hostedEntities(): Iterable<HostedEntity> {
    return this.#entities?.hosts ?? [];
  }

  get buckets(): Buckets {
    const runtime = this.opened();
    return (this.#buckets ??= new Buckets(runtime));
  }

  get journals(): Journals {
    const runtime = this.opened();
    return (this.#journals ??= new Journals(
      runtime,
      this.leases,
      this.buckets.own("journals", {}),
    ));
  }

  get locks(): Locks {
    const runtime = this.opened();
    const queue = this.buckets.own("locks", { storage: "memory" });
    return (this.#locks ??= new Locks(runtime, this.leases, queue, this.ended));
  }

  get states(): States {
    const runtime = this.opened();
    return (this.#states ??= new States(runtime));
  }

  get workspaces(): Workspaces {
    const runtime = this.opened();
    return (this.#workspaces ??= new Workspaces(runtime));
  }

  /** Drains every hosted instance and subscription, releases every lease, flushes, disconnects. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    await this.hosting.drain();
    await Promise.all([...this.subscriptions].map((subscription) => subscription.unsubscribe()));
    await this.#topics?.settled();
    await this.#journals?.drain();
    await this.leases.close(); // only now: handlers that were finishing may have needed them
    const text = `This connection to mesh ${this.mesh} is closed.`;
    this.#ended.abort(new MeshError("NOT_CONNECTED", text));
    for (const part of this.#parts()) part.close();
    this.#watchdog.close();
    this.registry.close();
    this.#runtime.absentees.close();
    this.#runtime.inbox.close();
    this.#runtime.outbox.flushTurn();
    await this.#runtime.link.close();
    await this.hosting.close();
    this.metrics.registry.clear();
  }

  /** What has been needed so far. */
  #parts(): (Tasks | Topics | Entities | Buckets | Journals | States | Workspaces)[] {
    const parts = [
      this.#tasks,
      this.#topics,
      this.#entities,
      this.#buckets,
      this.#journals,
      this.#states,
      this.#workspaces,
    ];
    return parts.filter((part) => part !== undefined);
  }

  #connectionLost(server: string): void {
    this.log.warn({ server }, "connection to the broker lost, reconnecting");
    this.metrics.connected.value = 0;
    this.#runtime.inbox.connectionLost();
    for (const part of this.#parts()) part.connectionLost();
  }

  #connectionRestored(server: string): void {
    const dropped = this.#droppedEnvelopes;
    this.#droppedEnvelopes = 0;
    this.log.warn({ server, dropped }, "connection to the broker restored");
    this.metrics.connected.value = 1;
    this.metrics.reconnects.value++;
    this.#runtime.returnsUntilMs = nowMs() + RETURN_MS;
    const waiting = [...this.#waitingForConnection];
    this.#waitingForConnection.clear();
    for (const resume of waiting) resume();
    void this.registry.restore();
    for (const part of this.#parts()) part.connectionRestored();
  }

  /** A frame that could not be sent: calls are moved, events are lost and counted. */
  #dropped(subject: string, envelopes: number, reply: string | undefined): void {
    const { inbox, subjects } = this.#runtime;
    if (reply !== undefined) {
      inbox.frameDropped(reply);
      return;
    }
    const isEvent = subject.startsWith(subjects.event(""));
    const cell = this.metrics.lost.with({ topic: isEvent ? "*" : "-", reason: "disconnected" });
    cell.value += envelopes;
    // Once, not once for each: thousands a second would hide everything else.
    if (this.#droppedEnvelopes === 0) {
      this.log.warn({ subject }, "messages are dropped: the broker is away");
    }
    this.#droppedEnvelopes += envelopes;
  }

  #refresh(): void {
    refreshGauges(this.metrics, {
      agents: this.hosting.agents,
      entities: this.hostedEntities,
      tasks: this.#tasks?.running() ?? [],
      directory: this.directory,
    });
  }
}

function identify(options: ConnectOptions): Identity {
  const mesh = token("Mesh name", options.mesh ?? fromEnvironment("PLEXUS_MESH") ?? "plexus");
  const name = token("Process name", options.name ?? fromEnvironment("PLEXUS_NAME") ?? "agent");
  const suffix = randomInt(36 ** 6)
    .toString(36)
    .padStart(6, "0");
  const log = options.log ?? createLogger({ mesh, name });
  return { mesh, name, client: `${name.slice(0, 48)}-${suffix}`, log };
}

/** Container files set variables to nothing where they mean none. */
function fromEnvironment(name: string): string | undefined {
  return process.env[name] || undefined;
}
