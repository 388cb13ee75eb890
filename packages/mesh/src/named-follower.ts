import { MeshError, isMeshError } from "@plexus/core";
import type { Bucket } from "./bucket.ts";
import type { Election, Leadership } from "./election.ts";
import type { Follower, Following, Position } from "./journal-follower.ts";
import { StoredPosition } from "./journal-position.ts";
import type { JournalServices } from "./journal-services.ts";
import type { Leases } from "./leases.ts";

/** What a named subscription needs beside its handler. */
export interface NamedSite {
  readonly services: JournalServices;
  readonly leases: Leases;
  readonly bucket: Bucket;
  /** Of its position in the bucket; also of its lease. */
  readonly key: string;
  /** Where it begins the first time. */
  readonly beginning: () => Promise<Position>;
  /** Begins to handle what comes behind a position. */
  follow(after: Position, handled: (position: Position) => void): Promise<Follower>;
}

const TTL = "5s"; // for so long nobody goes on when the one who did has died

/** A subscription that goes on where it stopped, whoever stops: of all processes that follow by its name one does so at a time. */
export class NamedFollower implements Following {
  readonly caughtUp: Promise<void>;
  readonly ended: Promise<void>;
  readonly #site: NamedSite;
  readonly #caughtUp = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<void>();
  #position: Position = { sequence: 0, index: 0 };
  #election: Election | undefined;
  #stopped: Promise<void> | undefined;

  constructor(site: NamedSite) {
    this.#site = site;
    this.caughtUp = this.#caughtUp.promise;
    this.ended = this.#ended.promise;
    this.caughtUp.catch(() => undefined);
    this.ended.catch(() => undefined); // whoever asks is told
  }

  get position(): Position {
    return this.#position;
  }

  async open(): Promise<void> {
    const { services, leases, bucket, key, beginning } = this.#site;
    await StoredPosition.begin(services, bucket, key, beginning);
    this.#election = leases.elect(key, {
      ttl: TTL,
      onElected: (leadership) => this.#lead(leadership),
    });
  }

  stop(): Promise<void> {
    return (this.#stopped ??= this.#stop());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stop(): Promise<void> {
    await this.#election?.resign();
    this.#ended.resolve();
    this.#caughtUp.reject(new MeshError("CANCELED", "The subscription has ended."));
  }

  async #lead({ token, signal }: Leadership): Promise<void> {
    const { services, bucket, key, beginning } = this.#site;
    const { promise: over, resolve: end } = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => end(), { once: true });
    if (signal.aborted) return;
    const stored = new StoredPosition(services, bucket, key, token);
    try {
      await StoredPosition.begin(services, bucket, key, beginning); // again, if it is gone
      const after = await stored.take();
      this.#position = after;
      const follower = await this.#site.follow(after, (position) => {
        this.#position = position;
        stored.note(position, (error) => {
          if (!services.closed)
            services.runtime.log.warn({ err: error, key }, "position not stored");
          end();
        });
      });
      follower.caughtUp.then(this.#caughtUp.resolve, () => undefined);
      try {
        await Promise.race([over, follower.ended]);
      } catch (error) {
        this.#ended.reject(error); // no other process of this contract could go on either
        throw error;
      } finally {
        await follower.stop();
        await stored.settled();
      }
    } catch (error) {
      if (!isMeshError(error, "FENCED")) throw error; // logged by whoever elects, who stands again
    }
  }
}
