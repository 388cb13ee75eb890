import { setTimeout as sleep } from "node:timers/promises";
import { isMeshError } from "@plexus/core";
import { nowMs } from "../clock.ts";
import type { Logger } from "../log.ts";
import { LeaseStore } from "./lease-store.ts";
import type { Link } from "./link.ts";
import { Streams } from "./streams.ts";

const LEADERLESS_MS = 15_000; // an election takes 4 to 9 s
const LOOK_AGAIN_MS = 1_000;
const API_TIMEOUT_MS = 2_000;
const GIVE_UP_MS = 60_000; // whoever meets it again looks again

/**
 * A stream in memory, which a cluster may leave without a leader for good: brokers that were killed have lost their copy, and
 * nats-server (2.14, 2.15) does not elect one of them as long as another copy may be newer, nor always the one that has it. So
 * when most of its brokers have been killed, it is made anew. What was in it is lost, as it is to whoever restarts a single broker.
 */
export class Leaderless {
  readonly #link: Link;
  readonly #stream: string;
  readonly #make: () => Promise<unknown>;
  readonly #log: Logger;
  readonly #streams: Streams;
  readonly #claims: LeaseStore;
  #watching = false;

  /** @param make makes the stream once more */
  constructor(link: Link, mesh: string, stream: string, make: () => Promise<unknown>, log: Logger) {
    this.#link = link;
    this.#stream = stream;
    this.#make = make;
    this.#log = log;
    this.#streams = new Streams(link, API_TIMEOUT_MS, 0);
    this.#claims = new LeaseStore(link, mesh);
  }

  /** Nobody answers for the stream: has it looked after in the background. */
  suspect(): void {
    if (this.#watching || !this.#link.clustered || !this.#link.connected) return;
    this.#watching = true;
    void this.#watch().finally(() => {
      this.#watching = false;
    });
  }

  async #watch(): Promise<void> {
    const giveUpAt = nowMs() + GIVE_UP_MS;
    let since = Infinity;
    let made: string | undefined;
    while (this.#link.connected && nowMs() < giveUpAt) {
      // One look after the other.
      const info = await this.#streams.info(this.#stream).catch(() => null);
      if (info === undefined || info?.cluster?.leader) return;
      if (info === null || info.created !== made) since = nowMs(); // the cluster itself may have no leader
      made = info?.created;
      const lost = made !== undefined && nowMs() - since >= LEADERLESS_MS;
      if (lost && (await this.#tryToMakeAnew(made!))) return;
      await sleep(LOOK_AGAIN_MS, undefined, { ref: false });
    }
  }

  /** False: the cluster could not, and may a moment later. */
  async #tryToMakeAnew(made: string): Promise<boolean> {
    try {
      await this.#makeAnew(made);
      return true;
    } catch (error) {
      this.#log.warn({ err: error, stream: this.#stream }, "not made anew yet, trying again");
      return false;
    }
  }

  /** Of all processes that have come here, one removes it: the others might remove what that one has made. */
  async #makeAnew(made: string): Promise<void> {
    const key = `anew.${this.#stream}`;
    const value = Buffer.from(made);
    const claimed = await this.#claims.read(key);
    const fresh = Date.now() - (claimed?.storedAt ?? 0) < GIVE_UP_MS;
    if (claimed && fresh && value.equals(claimed.value)) return;
    try {
      await this.#claims.write(key, value, claimed?.revision ?? 0, API_TIMEOUT_MS);
    } catch (error) {
      if (isMeshError(error, "CONFLICT")) return;
      throw error;
    }
    const stream = this.#stream;
    this.#log.error(
      { stream },
      "brokers have lost a stream in memory and elect no leader: made anew",
    );
    await this.#streams.remove(stream);
    await this.#make();
  }
}
