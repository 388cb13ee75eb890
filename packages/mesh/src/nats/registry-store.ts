import { headers } from "@nats-io/transport-node";
import {
  jetstream,
  JetStreamApiError,
  StorageType,
  type JetStreamClient,
} from "@nats-io/jetstream";
import { Kvm, type KV } from "@nats-io/kv";
import { MeshError } from "@plexus/core";
import type { Logger } from "../log.ts";
import { Leaderless } from "./leaderless.ts";
import type { Link } from "./link.ts";
import { tooFewNodes } from "./streams.ts";

/** A change in the registry bucket: a record was written, or removed, or it expired. */
export type RegistryChange =
  | { readonly type: "put"; readonly key: string; readonly value: Uint8Array }
  | { readonly type: "removed" | "expired"; readonly key: string };

const MARKER_TTL = "60s"; // how long a deletion stays visible to watchers that were away
const API_TIMEOUT_MS = 5_000;
const REPLICAS = 3; // in a cluster, so that it survives any one node

/**
 * The registry's key-value bucket: in memory, one key per instance, each with a time to live. Writes carry the expected
 * revision, so that a renewal on its way can never bring back an instance that has left.
 */
export class RegistryStore {
  readonly #link: Link;
  readonly #bucket: string;
  readonly #js: JetStreamClient;
  readonly #leaderless: Leaderless;
  #kv: KV | undefined;

  constructor(link: Link, mesh: string, log: Logger) {
    this.#link = link;
    this.#bucket = `${mesh}-registry`;
    this.#js = jetstream(link.connection, { timeout: API_TIMEOUT_MS });
    const make = (): Promise<void> => this.#create(REPLICAS);
    this.#leaderless = new Leaderless(link, mesh, `KV_${this.#bucket}`, make, log);
  }

  /** Makes sure that the bucket exists. Throws `INCOMPATIBLE_BROKER` when the broker cannot hold it. */
  async open(): Promise<void> {
    const { info } = this.#link.connection;
    if (!this.#link.connected) throw new MeshError("NOT_CONNECTED", "There is no broker.");
    if (!info?.jetstream) {
      throw new MeshError(
        "INCOMPATIBLE_BROKER",
        "The NATS server runs without JetStream, which holds the registry. Start it with -js.",
      );
    }
    try {
      const clustered = info.cluster !== undefined;
      const replicas = await this.#replicas();
      if (replicas === 0) await this.#create(clustered ? REPLICAS : 1);
      else if (replicas < REPLICAS && clustered) await this.#grow();
      this.#kv = await new Kvm(this.#js).open(this.#bucket, { allow_direct: true });
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      const refused = cause instanceof JetStreamApiError && cause.status < 500;
      throw new MeshError(
        refused ? "INCOMPATIBLE_BROKER" : "NOT_CONNECTED",
        `The registry bucket ${this.#bucket} cannot be opened on nats-server ${info.version}: ${why}. Plexus needs 2.14 or newer.`,
        { cause },
      );
    }
  }

  /**
   * Writes a record that lives for `ttlS` seconds.
   * @param revision the revision it must replace; 0 for a key that must not exist; undefined for whatever is there
   * @returns the new revision; throws `CONFLICT` when the key has another revision
   */
  async put(key: string, value: Uint8Array, ttlS: number, revision?: number): Promise<number> {
    const own = headers();
    own.set("Nats-TTL", `${ttlS}s`);
    return this.#publish(key, value, own, revision);
  }

  /** Removes a record at once if it still has this revision; without one, whatever is there. */
  async remove(key: string, revision?: number): Promise<void> {
    const own = headers();
    own.set("KV-Operation", "DEL"); // as told from what the broker leaves where a record has expired
    own.set("Nats-Rollup", "sub");
    own.set("Nats-TTL", MARKER_TTL);
    await this.#publish(key, new Uint8Array(0), own, revision);
  }

  /**
   * Follows the bucket: every current record first, then `synced` once, then every change. `ended` is called when the
   * watch stops by itself.
   * @returns stops the watch
   */
  async watch(on: {
    change(change: RegistryChange): void;
    synced(): void;
    ended(): void;
  }): Promise<() => void> {
    const kv = this.#kv;
    if (kv === undefined) throw new MeshError("NOT_CONNECTED", "The registry is not open.");
    const entries = await kv.watch().catch((cause: unknown) => {
      this.#leaderless.suspect();
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new MeshError("NOT_CONNECTED", `The registry cannot be read: ${why}.`, { cause });
    });
    let stopped = false;
    const follow = async (): Promise<void> => {
      let synced = false;
      const initial = (await kv.status()).values;
      if (initial === 0) {
        synced = true;
        on.synced();
      }
      for await (const entry of entries) {
        const { key, value, operation } = entry;
        if (operation === "PUT") on.change({ type: "put", key, value });
        else on.change({ type: operation === "DEL" ? "removed" : "expired", key });
        if (!synced && entry.delta === 0) {
          synced = true;
          on.synced();
        }
      }
    };
    const ended = (): void => {
      if (!stopped) on.ended();
    };
    void follow().then(ended, ended);
    return () => {
      stopped = true;
      entries.stop();
    };
  }

  /** How many copies of the bucket there are; 0: it does not exist. */
  async #replicas(): Promise<number> {
    const manager = await this.#js.jetstreamManager();
    try {
      const { config } = await manager.streams.info(`KV_${this.#bucket}`);
      return config.num_replicas;
    } catch (error) {
      if (error instanceof JetStreamApiError && error.status === 404) return 0;
      throw error;
    }
  }

  /** It was made when the cluster had fewer nodes. */
  async #grow(): Promise<void> {
    const { streams } = await this.#js.jetstreamManager();
    await streams.update(`KV_${this.#bucket}`, { num_replicas: REPLICAS }).catch(() => undefined); // it still has
  }

  /** With one replica if a cluster is too small for more, or has just lost nodes. */
  async #create(replicas: number): Promise<void> {
    try {
      await new Kvm(this.#js).create(this.#bucket, {
        storage: StorageType.Memory,
        history: 1,
        replicas,
        markerTTL: 60_000,
      });
    } catch (error) {
      if ((await this.#replicas()) > 0) return; // another process was faster
      if (replicas === 1 || !tooFewNodes(error)) throw error;
      await this.#create(1);
    }
  }

  async #publish(
    key: string,
    value: Uint8Array,
    own: ReturnType<typeof headers>,
    revision: number | undefined,
  ): Promise<number> {
    if (!this.#link.connected) {
      throw new MeshError("NOT_CONNECTED", `Registry write for ${key}: there is no connection.`);
    }
    if (revision !== undefined) own.set("Nats-Expected-Last-Subject-Sequence", String(revision));
    try {
      const ack = await this.#js.publish(`$KV.${this.#bucket}.${key}`, value, { headers: own });
      return ack.seq;
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      const conflict = /wrong last sequence/i.test(why);
      if (!conflict) this.#leaderless.suspect();
      throw new MeshError(
        conflict ? "CONFLICT" : "NOT_CONNECTED",
        `Registry write for ${key} failed: ${why}.`,
        { cause },
      );
    }
  }
}
