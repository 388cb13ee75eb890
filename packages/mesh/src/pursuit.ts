import { setTimeout as sleep } from "node:timers/promises";
import { MeshError, isMeshError } from "@plexus/core";
import { nowMs } from "./clock.ts";
import type { Acquisition } from "./lease.ts";
import {
  FREE,
  LETTING_GO_MS,
  encodeRecord,
  writeTimeoutMs,
  type LeaseRecord,
} from "./lease-record.ts";
import type { LeaseView } from "./lease-view.ts";
import type { LeaseStore } from "./nats/lease-store.ts";

const RETRY_MS = 100;

/** One wish for a lease: sees when it may be taken, and takes it, unless somebody else is faster. */
export class Pursuit {
  readonly #store: LeaseStore;
  readonly #view: LeaseView;
  readonly #name: string;
  readonly #record: LeaseRecord;
  /** A write may have arrived, or may still arrive, that was not acknowledged. */
  #doubtful = false;

  constructor(store: LeaseStore, view: LeaseView, name: string, record: LeaseRecord) {
    this.#store = store;
    this.#view = view;
    this.#name = name;
    this.#record = record;
  }

  /** Waits for its turn, for as long as `ended` does not fire. */
  async run(ended: AbortSignal): Promise<Acquisition> {
    let news = Promise.withResolvers<undefined>();
    const wake = (): void => news.resolve(undefined);
    const unwatch = this.#view.watch(wake);
    ended.addEventListener("abort", wake, { once: true });
    try {
      for (;;) {
        ended.throwIfAborted();
        news = Promise.withResolvers();
        const { failure } = this.#view;
        if (failure !== undefined && !isMeshError(failure, "NOT_CONNECTED")) throw failure;
        const acquired = this.#mayTake ? await this.#tryToTake() : await news.promise;
        if (acquired) return acquired;
      }
    } finally {
      ended.removeEventListener("abort", wake);
      unwatch();
    }
  }

  /** Takes the lease if it is free now, else throws `CONFLICT`. */
  async once(): Promise<Acquisition> {
    await this.#view.refresh();
    const acquired = this.#mayTake ? await this.#take() : undefined;
    if (acquired) return acquired;
    throw notObtained("CONFLICT", this.#name, this.#view);
  }

  /** After giving up: removes what may have been written, so that nobody has to wait until it expires. */
  async withdraw(): Promise<void> {
    const untilMs = nowMs() + LETTING_GO_MS;
    while (this.#doubtful && nowMs() < untilMs && !(await this.#tryToWithdraw())) {
      await sleep(RETRY_MS);
    }
  }

  async #tryToWithdraw(): Promise<boolean> {
    try {
      await this.#view.refresh();
      if (this.#ours) await this.#write(FREE);
      return true;
    } catch {
      return false;
    }
  }

  /** What has our mark and was not acknowledged: nobody believes in it, so it may be replaced at once. */
  get #ours(): boolean {
    return this.#view.record?.nonce === this.#record.nonce;
  }

  get #mayTake(): boolean {
    return this.#ours || this.#view.freeInMs() === 0;
  }

  async #tryToTake(): Promise<Acquisition | undefined> {
    const { revision } = this.#view;
    try {
      const acquired = await this.#take();
      // A write of our own that is not applied yet also makes the broker refuse the next one.
      if (!acquired && this.#view.revision === revision) await sleep(RETRY_MS);
      return acquired;
    } catch (error) {
      if (!isMeshError(error, "NOT_CONNECTED")) throw error;
      await sleep(RETRY_MS);
      return undefined;
    }
  }

  /** Undefined: somebody else was faster, or the answer came too late. */
  async #take(): Promise<Acquisition | undefined> {
    const seen = this.#view.revision!;
    const sentMs = nowMs();
    let revision: number;
    try {
      revision = await this.#write(encodeRecord(this.#record));
    } catch (error) {
      if (!isMeshError(error, "CONFLICT")) {
        this.#doubtful = true;
        throw error;
      }
      if (this.#view.revision === seen) await this.#view.refresh();
      return undefined;
    }
    this.#view.note(revision, this.#record);
    if (nowMs() >= sentMs + this.#record.ttlMs) {
      this.#doubtful = true;
      return undefined;
    }
    return { name: this.#name, key: this.#view.key, record: this.#record, revision, sentMs };
  }

  #write(value: Uint8Array): Promise<number> {
    const timeoutMs = writeTimeoutMs(this.#record.ttlMs);
    return this.#store.write(this.#view.key, value, this.#view.revision!, timeoutMs);
  }
}

/** The error of somebody who did not get a lease; its details say who has it, and for how long at most without renewing it. */
export function notObtained(
  code: "CONFLICT" | "TIMEOUT",
  name: string,
  view: LeaseView,
): MeshError {
  const { holder, record } = view;
  const expiresInMs = Math.ceil(view.freeInMs());
  const intent = holder && record?.lock?.intent;
  const purpose = intent === undefined ? "" : ` (to ${JSON.stringify(intent)})`;
  const who = holder
    ? `${holder.holder} holds it${purpose} and has ${expiresInMs} ms to renew it`
    : "others were faster";
  return new MeshError(
    code,
    `${record?.lock ? "Lock" : "Lease"} ${name} was not obtained: ${who}.`,
    {
      details: {
        holder: holder?.holder,
        token: holder?.token,
        expiresInMs,
        ...(intent === undefined ? {} : { intent }),
      },
      retryable: true,
    },
  );
}
