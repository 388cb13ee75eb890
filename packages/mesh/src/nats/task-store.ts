import {
  jetstreamManager,
  AckPolicy,
  DiscardPolicy,
  JetStreamApiError,
  RetentionPolicy,
  StorageType,
  type ConsumerConfig,
  type JetStreamManager,
  type StreamConfig,
} from "@nats-io/jetstream";
import { MeshError, type Priority, type Subjects } from "@plexus/core";
import type { JetStream, StoredMessage } from "./jetstream.ts";
import type { Link } from "./link.ts";

const NS_PER_MS = 1_000_000;
const API_TIMEOUT_MS = 10_000; // a cluster places streams in a second or two, later when it has just lost a node
const STREAM_EXISTS = 10_058;
const CONSUMER_EXISTS = new Set([10_013, 10_148]);

/** How long what is recorded of a task is kept. */
export interface Retention {
  readonly resultsMs: number;
  readonly deadLettersMs: number;
}

/** The streams of durable work: queued tasks, recorded results and effects, dead letters. All on file. */
export class TaskStore {
  readonly tasks: string;
  readonly results: string;
  readonly dead: string;
  readonly effects: string;
  readonly #js: JetStream;
  readonly #link: Link;
  readonly #subjects: Subjects;
  readonly #retention: Retention;
  #manager: Promise<JetStreamManager> | undefined;
  #opened: Promise<void> | undefined;
  readonly #consumers = new Map<string, Promise<void>>();

  constructor(link: Link, js: JetStream, subjects: Subjects, retention: Retention) {
    const { mesh } = subjects;
    this.tasks = `${mesh}-tasks`;
    this.results = `${mesh}-results`;
    this.dead = `${mesh}-dead`;
    this.effects = `${mesh}-effects`;
    this.#link = link;
    this.#js = js;
    this.#subjects = subjects;
    this.#retention = retention;
  }

  /** Makes sure that the streams exist. Throws `INCOMPATIBLE_BROKER` when the broker cannot hold them. */
  open(): Promise<void> {
    this.#opened ??= this.#open().catch((error: unknown) => {
      this.#opened = undefined;
      throw error;
    });
    return this.#opened;
  }

  /** Makes sure that the shared consumer of one capability and priority exists, and gives its name. */
  async consumer(
    agent: string,
    capability: string,
    priority: Priority,
    ackWaitMs: number,
  ): Promise<string> {
    const name = `${agent}-${capability}-${priority}`;
    let made = this.#consumers.get(name);
    if (made === undefined) {
      made = this.#makeConsumer({
        durable_name: name,
        filter_subject: this.#subjects.task(agent, capability, priority, "*", "*"),
        ack_policy: AckPolicy.Explicit,
        ack_wait: ackWaitMs * NS_PER_MS,
        max_deliver: -1, // counted by who takes it: then the reason can be told
        max_ack_pending: -1, // bounded by the slots of the hosts
        max_waiting: 65_536,
      });
      this.#consumers.set(name, made);
      made.catch(() => this.#consumers.delete(name));
    }
    await made;
    return name;
  }

  /** Everything has to be made sure of again: the broker may have lost it. */
  forget(): void {
    this.#opened = undefined;
    this.#consumers.clear();
  }

  /** The recorded result of a task. */
  result(task: string): Promise<StoredMessage | undefined> {
    return this.#js.last(this.results, this.#subjects.done("*", task));
  }

  /** The queued message of a task, due now or later. */
  queued(task: string): Promise<StoredMessage | undefined> {
    return this.#js.last(this.tasks, this.#subjects.task("*", "*", "*", "*", task));
  }

  /** Takes a task off the queue. */
  async dequeue(task: string): Promise<void> {
    await this.#js.purge(this.tasks, this.#subjects.task("*", "*", "*", "*", task));
  }

  async #open(): Promise<void> {
    const { info } = this.#link.connection;
    if (!info?.jetstream) {
      throw new MeshError(
        "INCOMPATIBLE_BROKER",
        "The NATS server runs without JetStream, which holds durable work. Start it with -js.",
      );
    }
    const { mesh } = this.#subjects;
    const { resultsMs, deadLettersMs } = this.#retention;
    const limits = { retention: RetentionPolicy.Limits };
    await Promise.all([
      this.#makeStream({
        name: this.tasks,
        subjects: [`${mesh}.task.>`],
        retention: RetentionPolicy.Workqueue,
        discard: DiscardPolicy.New,
        allow_msg_schedules: true,
      }),
      this.#makeStream({
        ...limits,
        name: this.results,
        subjects: [`${mesh}.done.>`],
        max_age: resultsMs * NS_PER_MS,
      }),
      this.#makeStream({
        ...limits,
        name: this.effects,
        subjects: [`${mesh}.effect.>`],
        max_age: resultsMs * NS_PER_MS,
      }),
      this.#makeStream({
        ...limits,
        name: this.dead,
        subjects: [`${mesh}.dead.>`],
        max_age: deadLettersMs * NS_PER_MS,
      }),
    ]);
  }

  /** In a cluster a stream has three replicas, so that it survives any one node; a smaller cluster gets one. */
  async #makeStream(config: Partial<StreamConfig> & { name: string }): Promise<void> {
    const manager = await this.#managing();
    const clustered = this.#link.clustered;
    for (const replicas of clustered ? [3, 1] : [1]) {
      try {
        // oxlint-disable-next-line no-await-in-loop -- the second only if the first is refused
        await manager.streams.add({
          ...config,
          storage: StorageType.File,
          num_replicas: replicas,
          allow_direct: true,
        });
        return;
      } catch (cause) {
        const code = cause instanceof JetStreamApiError ? cause.apiError().err_code : 0;
        if (code === STREAM_EXISTS) return; // somebody else's settings stand
        if (replicas === 1) throw this.#refused(`stream ${config.name}`, cause);
      }
    }
  }

  async #makeConsumer(config: Partial<ConsumerConfig> & { durable_name: string }): Promise<void> {
    const manager = await this.#managing();
    try {
      await manager.consumers.add(this.tasks, config);
    } catch (cause) {
      const code = cause instanceof JetStreamApiError ? cause.apiError().err_code : 0;
      if (CONSUMER_EXISTS.has(code)) {
        const { ack_wait } = config;
        await manager.consumers.update(this.tasks, config.durable_name, { ack_wait: ack_wait! });
      } else throw this.#refused(`consumer ${config.durable_name}`, cause);
    }
  }

  #managing(): Promise<JetStreamManager> {
    return (this.#manager ??= jetstreamManager(this.#link.connection, {
      timeout: API_TIMEOUT_MS,
      checkAPI: false,
    }));
  }

  #refused(what: string, cause: unknown): MeshError {
    const why = cause instanceof Error ? cause.message : String(cause);
    const refused = cause instanceof JetStreamApiError && cause.status < 500;
    const version = this.#link.connection.info?.version ?? "unknown";
    return new MeshError(
      refused ? "INCOMPATIBLE_BROKER" : "NOT_CONNECTED",
      `The ${what} cannot be made on nats-server ${version}: ${why}. Plexus needs 2.14 or newer.`,
      { cause },
    );
  }
}
