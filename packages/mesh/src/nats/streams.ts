import {
  jetstreamManager,
  JetStreamApiError,
  StorageType,
  type ConsumerConfig,
  type ConsumerInfo,
  type JetStreamManager,
  type StreamConfig,
  type StreamInfo,
} from "@nats-io/jetstream";
import { MeshError } from "@plexus/core";
import type { Link } from "./link.ts";

const API_TIMEOUT_MS = 10_000; // a cluster places streams in a second or two, later when it has just lost a node
const STREAM_EXISTS = 10_058;
const STREAM_NOT_FOUND = 10_059;
const CONSUMER_EXISTS = new Set([10_013, 10_148]);

/** Makes streams and consumers, as the durable parts of the mesh need them. */
export class Streams {
  readonly #link: Link;
  readonly #timeoutMs: number;
  #manager: Promise<JetStreamManager> | undefined;

  /** @param timeoutMs how long the broker may take for one request */
  constructor(link: Link, timeoutMs = API_TIMEOUT_MS) {
    this.#link = link;
    this.#timeoutMs = timeoutMs;
  }

  /** Throws `INCOMPATIBLE_BROKER` if the broker has no JetStream at all. */
  demandJetStream(): void {
    if (!this.#link.connected) throw new MeshError("NOT_CONNECTED", "There is no broker.");
    if (this.#link.connection.info?.jetstream) return;
    throw new MeshError(
      "INCOMPATIBLE_BROKER",
      "The NATS server runs without JetStream, which holds durable work. Start it with -js.",
    );
  }

  /**
   * Makes sure that a stream exists, on file unless told otherwise. False: it does already, with other settings. In a cluster it
   * has three replicas, so that it survives any one node; a smaller cluster gets one.
   */
  async make(config: Partial<StreamConfig> & { name: string }): Promise<boolean> {
    const manager = await this.#managing();
    const clustered = this.#link.clustered;
    for (const replicas of clustered ? [3, 1] : [1]) {
      try {
        // oxlint-disable-next-line no-await-in-loop -- the second only if the first is refused
        await manager.streams.add({
          storage: StorageType.File,
          allow_direct: true,
          ...config,
          num_replicas: replicas,
        });
        return true;
      } catch (cause) {
        if (codeOf(cause) === STREAM_EXISTS) return false;
        if (replicas === 1) throw this.refused(`stream ${config.name}`, cause);
      }
    }
    return false;
  }

  /** Changes settings of a stream. */
  async update(name: string, config: Partial<StreamConfig>): Promise<void> {
    const manager = await this.#managing();
    try {
      await manager.streams.update(name, config);
    } catch (cause) {
      throw this.refused(`stream ${name}`, cause);
    }
  }

  /** What the broker tells of a stream; undefined: there is none. With `subjects`, how many messages lie on each. */
  async info(name: string, subjects?: string): Promise<StreamInfo | undefined> {
    const manager = await this.#managing();
    try {
      return await manager.streams.info(
        name,
        subjects === undefined ? {} : { subjects_filter: subjects },
      );
    } catch (cause) {
      if (codeOf(cause) === STREAM_NOT_FOUND) return undefined;
      throw this.refused(`stream ${name}`, cause);
    }
  }

  /** The streams that have a subject in common with this one. */
  async list(subject: string): Promise<StreamInfo[]> {
    const manager = await this.#managing();
    const found: StreamInfo[] = [];
    try {
      for await (const info of manager.streams.list(subject)) found.push(info);
    } catch (cause) {
      throw this.refused("list of streams", cause);
    }
    return found;
  }

  async consumers(stream: string): Promise<ConsumerInfo[]> {
    const manager = await this.#managing();
    const found: ConsumerInfo[] = [];
    try {
      for await (const info of manager.consumers.list(stream)) found.push(info);
    } catch (cause) {
      throw this.refused(`list of consumers of ${stream}`, cause);
    }
    return found;
  }

  /** Makes a consumer. Undefined: there is one of that name with other settings. */
  async addConsumer(
    stream: string,
    config: Partial<ConsumerConfig>,
  ): Promise<ConsumerInfo | undefined> {
    const manager = await this.#managing();
    try {
      return await manager.consumers.add(stream, config);
    } catch (cause) {
      if (CONSUMER_EXISTS.has(codeOf(cause))) return undefined;
      throw this.refused(`consumer ${config.durable_name ?? config.name ?? ""}`, cause);
    }
  }

  async updateConsumer(
    stream: string,
    name: string,
    config: Partial<ConsumerConfig>,
  ): Promise<ConsumerInfo> {
    const manager = await this.#managing();
    try {
      return await manager.consumers.update(stream, name, config);
    } catch (cause) {
      throw this.refused(`consumer ${name}`, cause);
    }
  }

  /** Deletes a consumer, if it is there. */
  async deleteConsumer(stream: string, name: string): Promise<void> {
    const manager = await this.#managing();
    await manager.consumers.delete(stream, name).catch(() => undefined);
  }

  /** Why something could not be made, as an error of the mesh. */
  refused(what: string, cause: unknown): MeshError {
    const why = cause instanceof Error ? cause.message : String(cause);
    const refused = cause instanceof JetStreamApiError && cause.status < 500;
    const version = this.#link.connection.info?.version ?? "unknown";
    return new MeshError(
      refused ? "INCOMPATIBLE_BROKER" : "NOT_CONNECTED",
      `The ${what} cannot be made on nats-server ${version}: ${why}. Plexus needs 2.14 or newer.`,
      { cause, details: codeOf(cause) },
    );
  }

  #managing(): Promise<JetStreamManager> {
    return (this.#manager ??= jetstreamManager(this.#link.connection, {
      timeout: this.#timeoutMs,
      checkAPI: false,
    }));
  }
}

function codeOf(cause: unknown): number {
  return cause instanceof JetStreamApiError ? cause.apiError().err_code : 0;
}
