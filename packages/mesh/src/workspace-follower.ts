import { setTimeout as sleep } from "node:timers/promises";
import { isMeshError } from "@plexus/core";
import type { LinkSubscription } from "./nats/link.ts";
import type { WorkspaceJournal, WorkspaceRecord } from "./workspace-journal.ts";
import type { WorkspaceServices } from "./workspace-services.ts";

const LAG_MS = 10; // what the owner sends is heard a moment before it is stored
const MAX_LAGS = 20;
const SILENT_MS = 2_000; // then the journal is asked, should something have been missed

/**
 * Reads a workspace's journal from some point on and goes on with what comes. It is woken by the record itself on its way to the
 * broker, and reads it when it is stored: what a former owner sends in vain is never seen.
 */
export class WorkspaceFollower {
  /** Settles when it has ended. */
  readonly ended: Promise<void>;
  readonly #services: WorkspaceServices;
  readonly #journal: WorkspaceJournal;
  readonly #take: (record: WorkspaceRecord) => unknown;
  readonly #subscription: LinkSubscription;
  readonly #forget: () => void;
  #next: number;
  #closed = false;
  #heard = false;
  #wake: () => void = () => undefined;

  /** @param from sequence of the first record that is wanted, if there is one */
  constructor(
    services: WorkspaceServices,
    journal: WorkspaceJournal,
    from: number,
    take: (record: WorkspaceRecord) => unknown,
  ) {
    this.#services = services;
    this.#journal = journal;
    this.#next = from;
    this.#take = take;
    this.#subscription = services.runtime.link.subscribe(journal.subject, () => {
      this.#heard = true;
      this.#wake();
    });
    this.#forget = services.onClose(() => this.close());
    this.ended = this.#run();
    this.ended.catch(() => undefined); // whoever asks is told
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#forget();
    this.#subscription.unsubscribe();
    this.#wake();
  }

  async #run(): Promise<void> {
    const { log } = this.#services.runtime;
    while (!this.#closed && !this.#services.closed) {
      try {
        const heard = this.#heard;
        this.#heard = false;
        const found = await this.#drain();
        if (heard && found === 0) await this.#comeUp();
      } catch (error) {
        if (this.#closed || this.#services.closed) break;
        if (!isMeshError(error)) throw error;
        log.debug({ err: error }, "a workspace cannot be followed for now");
        await sleep(LAG_MS * MAX_LAGS);
      }
      if (!this.#heard && !this.#closed) await this.#silence();
    }
    this.close();
  }

  /** Waits for what was heard and is not stored yet, if it ever is. */
  async #comeUp(): Promise<void> {
    for (let lags = 0; lags < MAX_LAGS && !this.#closed; lags++) {
      // Until it is there.
      await sleep(LAG_MS);
      if ((await this.#drain()) > 0) return;
    }
  }

  /** @returns how many records there were */
  async #drain(): Promise<number> {
    let count = 0;
    for (;;) {
      // Each batch begins where the one before ended.
      const records = await this.#journal.batch(this.#next);
      for (const record of records) {
        if (this.#closed) return count;
        this.#next = record.sequence + 1;
        count++;
        try {
          await this.#take(record);
        } catch (error) {
          this.#services.runtime.log.warn(
            { err: error, workspace: this.#journal.workspace, sequence: record.sequence },
            "who follows a workspace failed on a record",
          );
        }
      }
      if (records.length === 0) return count;
    }
  }

  /** Until something is heard, for a while at most. */
  #silence(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, SILENT_MS);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
