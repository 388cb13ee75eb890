import { setTimeout as sleep } from "node:timers/promises";
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
import { nowMs } from "../clock.ts";
import type { Link } from "./link.ts";

const API_TIMEOUT_MS = 10_000; // a cluster places streams in a second or two, later when it has just lost a node
/** A cluster that has lost a leader elects another within seconds; on a machine that is busy, too, it takes longer. */
const PATIENCE_MS = 30_000;
const PAUSE_MS = 250;
/** The cluster has no place for another replica, or there is no cluster. */
const TOO_FEW_NODES = new Set([10_005, 10_023, 10_074]);
const STREAM_EXISTS = 10_058;
const STREAM_NOT_FOUND = 10_059;
const CONSUMER_EXISTS = new Set([10_013, 10_148]);

/**
 * Makes streams and consumers, as the durable parts of the mesh need them. A broker that does not answer in time, or whose
 * cluster has no leader just now, is asked again for half a minute.
 */
export class Streams {
  readonly #link: Link;
  readonly #timeoutMs: number;
  readonly #patienceMs: number;
  #manager: Promise<JetStreamManager> | undefined;

  /**
   * @param timeoutMs how long the broker may take for one request
   * @param patienceMs for how long it is asked the same; 0 for who asks for something else then
   */
  constructor(link: Link, timeoutMs = API_TIMEOUT_MS, patienceMs = PATIENCE_MS) {
    this.#link = link;
    this.#timeoutMs = timeoutMs;
    this.#patienceMs = patienceMs;
  }

  /**
   * Throws `NOT_CONNECTED` if the broker has no JetStream just now. It had when this process connected, or the registry would have
   * refused it: so it is waited for, like a broker that is away.
   */
  demandJetStream(): void {
    if (!this.#link.connected) throw new MeshError("NOT_CONNECTED", "There is no broker.");
    if (this.#link.connection.info?.jetstream) return;
    throw new MeshError(
      "NOT_CONNECTED",
      "The NATS server runs without JetStream, which holds durable work. Start it with -js.",
    );
  }

  /**
   * Makes sure that a stream exists, on file unless told otherwise. False: it does already, with other settings. In a cluster it
   * has three replicas, so that it survives any one node; a smaller cluster gets one.
   */
  async make(config: Partial<StreamConfig> & { name: string }): Promise<boolean> {
    for (const num_replicas of this.#link.clustered ? [3, 1] : [1]) {
      const whole = { storage: StorageType.File, allow_direct: true, ...config, num_replicas };
      try {
        // The second only if the first is refused.
        await this.#ask((manager) => manager.streams.add(whole));
        return true;
      } catch (cause) {
        if (codeOf(cause) === STREAM_EXISTS) return false;
        if (num_replicas > 1 && tooFewNodes(cause)) continue;
        throw this.refused(`stream ${config.name}`, cause);
      }
    }
    return false;
  }

  /** Changes settings of a stream. */
  async update(name: string, config: Partial<StreamConfig>): Promise<void> {
    try {
      await this.#ask((manager) => manager.streams.update(name, config));
    } catch (cause) {
      throw this.refused(`stream ${name}`, cause);
    }
  }

  /** What the broker tells of a stream; undefined: there is none. With `subjects`, how many messages lie on each. */
  async info(name: string, subjects?: string): Promise<StreamInfo | undefined> {
    const options = subjects === undefined ? {} : { subjects_filter: subjects };
    try {
      return await this.#ask((manager) => manager.streams.info(name, options));
    } catch (cause) {
      if (codeOf(cause) === STREAM_NOT_FOUND) return undefined;
      throw this.refused(`stream ${name}`, cause);
    }
  }

  /** The streams that have a subject in common with this one. */
  async list(subject: string): Promise<StreamInfo[]> {
    try {
      return await this.#ask((manager) => Array.fromAsync(manager.streams.list(subject)));
    } catch (cause) {
      throw this.refused("list of streams", cause);
    }
  }

  async consumers(stream: string): Promise<ConsumerInfo[]> {
    try {
      return await this.#ask((manager) => Array.fromAsync(manager.consumers.list(stream)));
    } catch (cause) {
      throw this.refused(`list of consumers of ${stream}`, cause);
    }
  }

  /** Makes a consumer. Undefined: there is one of that name with other settings. */
  async addConsumer(
    stream: string,
    config: Partial<ConsumerConfig>,
  ): Promise<ConsumerInfo | undefined> {
    try {
      return await this.#ask((manager) => manager.consumers.add(stream, config));
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
    try {
      return await this.#ask((manager) => manager.consumers.update(stream, name, config));
    } catch (cause) {
      throw this.refused(`consumer ${name}`, cause);
    }
  }

  /** Deletes a stream. Without a leader it is not told of its end, so no answer counts as one. */
  async remove(name: string): Promise<void> {
    const manager = await this.#managing();
    await manager.streams.delete(name).catch((cause: unknown) => {
      if (!isPassing(cause) && codeOf(cause) !== STREAM_NOT_FOUND) throw cause;
    });
  }

  /** Deletes a consumer, if it is there. */
  async deleteConsumer(stream: string, name: string): Promise<void> {
    const manager = await this.#managing();
    await manager.consumers.delete(stream, name).catch(() => undefined);
  }

  /** Why something could not be made, as an error of the mesh. */
  refused(what: string, cause: unknown): MeshError {
    const why = cause instanceof Error ? cause.message : String(cause);
    if (isPassing(cause)) {
      const text = `The ${what} cannot be reached, as the broker does not answer or has no leader: ${why}.`;
      return new MeshError("NOT_CONNECTED", text, { cause, details: codeOf(cause) });
    }
    const version = this.#link.connection.info?.version ?? "unknown";
    return new MeshError(
      "INCOMPATIBLE_BROKER",
      `The ${what} cannot be made on nats-server ${version}: ${why}. Plexus needs 2.14 or newer.`,
      { cause, details: codeOf(cause) },
    );
  }

  /** All that is asked here may be asked twice. */
  async #ask<T>(ask: (manager: JetStreamManager) => Promise<T>): Promise<T> {
    const manager = await this.#managing();
    const giveUpMs = nowMs() + this.#patienceMs;
    for (;;) {
      try {
        return await ask(manager);
      } catch (cause) {
        const hopeless = !this.#link.connected || nowMs() > giveUpMs;
        if (hopeless || !isPassing(cause)) throw cause;
        await sleep(PAUSE_MS);
      }
    }
  }

  #managing(): Promise<JetStreamManager> {
    return (this.#manager ??= jetstreamManager(this.#link.connection, {
      timeout: this.#timeoutMs,
      checkAPI: false,
    }));
  }
}

/** True unless the broker has refused it. */
function isPassing(cause: unknown): boolean {
  if (!(cause instanceof JetStreamApiError)) return true;
  return cause.status >= 500 && !tooFewNodes(cause);
}

/** True if the broker has refused as the cluster has no place for another replica just now. */
export function tooFewNodes(cause: unknown): boolean {
  return TOO_FEW_NODES.has(codeOf(cause));
}

function codeOf(cause: unknown): number {
  return cause instanceof JetStreamApiError ? cause.apiError().err_code : 0;
}
