import { isMeshError, token } from "@plexus/core";
import type { Absentees } from "./absentees.ts";
import { nowMs } from "./clock.ts";
import type { Directory, InstanceInfo } from "./directory.ts";
import type { Logger } from "./log.ts";
import type { RegistryChange, RegistryStore } from "./nats/registry-store.ts";

/** How long a record outlives its last renewal, in seconds (a NATS message TTL is whole seconds). */
const REGISTRY_TTL_S = 10;

const RENEW_AFTER_MS = (REGISTRY_TTL_S * 1_000) / 3;
const TICK_MS = 250;
const MAX_FAILURES = 4; // renewals failed in a row, anyone's
const SYNC_TIMEOUT_MS = 5_000;
const START_TIMEOUT_MS = 30_000; // an election takes 4 to 9 s, and then what it takes to watch may be placed on the node that died
const START_PAUSE_MS = 250;

/** One of this process's own records. */
interface Registration {
  readonly key: string;
  readonly value: Uint8Array;
  revision: number;
  dueAt: number;
  renewing: Promise<void> | undefined;
  leaving: boolean;
}

/** Keeps this process's instances in the registry, and the directory in step with everyone's. */
export class Registry {
  readonly #store: RegistryStore;
  readonly #directory: Directory;
  readonly #absentees: Absentees;
  readonly #log: Logger;
  readonly #own = new Map<string, Registration>();
  /** Known before the watch restarted and not seen since; dropped when their record must have expired. */
  readonly #unconfirmed = new Map<string, number>();
  #stopWatch: (() => void) | undefined;
  #generation = 0;
  #heardMs = nowMs();
  #restoring: Promise<void> | undefined;
  /** The connection or the watch broke once more while a restoration was under way. */
  #outdated = false;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(store: RegistryStore, directory: Directory, absentees: Absentees, log: Logger) {
    this.#store = store;
    this.#directory = directory;
    this.#absentees = absentees;
    this.#log = log;
  }

  /**
   * Opens the bucket and resolves when the directory holds what the registry holds. Tries for some time: a cluster that
   * has lost a node answers only when it has elected its leaders again.
   */
  async start(): Promise<void> {
    const giveUpAt = nowMs() + START_TIMEOUT_MS;
    while (!(await this.#tryToStart(nowMs() >= giveUpAt)));
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#timer.unref();
  }

  async #tryToStart(lastTime: boolean): Promise<boolean> {
    try {
      await this.#store.open();
      await this.#watch();
      return true;
    } catch (error) {
      if (lastTime || !isMeshError(error, "NOT_CONNECTED")) throw error;
      await new Promise((resolve) => setTimeout(resolve, START_PAUSE_MS));
      return false;
    }
  }

  /** Enters an instance; it is visible to everyone within one broker round trip. */
  async register(info: InstanceInfo): Promise<void> {
    const key = registryKey(info);
    const value = Buffer.from(JSON.stringify(info));
    const revision = await this.#enter(key, value);
    // Spread over the interval, so that a thousand instances do not renew in one burst.
    const dueAt = nowMs() + RENEW_AFTER_MS * (0.5 + Math.random() * 0.5);
    this.#own.set(key, { key, value, revision, dueAt, renewing: undefined, leaving: false });
    this.#directory.put(info);
  }

  /** Tries for some time: in a cluster, a broker may have yet to hear of the bucket that another process has just made. */
  async #enter(key: string, value: Uint8Array): Promise<number> {
    const giveUpAt = nowMs() + START_TIMEOUT_MS;
    for (;;) {
      try {
        return await this.#store.put(key, value, REGISTRY_TTL_S);
      } catch (error) {
        const later = isMeshError(error, "NOT_CONNECTED") && nowMs() < giveUpAt;
        if (!later || this.#closed) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, START_PAUSE_MS));
    }
  }

  /** Deletes an instance's record at once. */
  async leave(info: InstanceInfo): Promise<void> {
    const registration = this.#own.get(registryKey(info));
    if (registration === undefined) return;
    registration.leaving = true;
    this.#own.delete(registration.key);
    this.#directory.remove(info.instance);
    await registration.renewing;
    await this.#store.remove(registration.key, registration.revision).catch((error: unknown) => {
      this.#log.debug({ err: error, key: registration.key }, "registry record left to expire");
    });
  }

  /**
   * Takes out an instance that the broker says is not connected, so that everybody knows. If it is on its way back, it enters
   * itself again.
   */
  expel(instance: string): void {
    const peer = this.#directory.get(instance);
    if (peer === undefined || this.#own.has(registryKey(peer.info))) return;
    this.#directory.remove(instance);
    this.#store.remove(registryKey(peer.info)).catch((error: unknown) => {
      this.#log.debug({ err: error, instance }, "registry record left to expire");
    });
  }

  /** After a reconnection: the broker may have lost the bucket, so everything is entered and read again. */
  restore(): Promise<void> {
    this.#outdated = true;
    return (this.#restoring ??= this.#restore().finally(() => {
      this.#restoring = undefined;
    }));
  }

  async #restore(): Promise<void> {
    let failed = false;
    for (let delayMs = 100; !this.#closed; delayMs = Math.min(delayMs * 2, 2_000)) {
      this.#outdated = false;
      try {
        await this.#store.open();
        await Promise.all([...this.#own.values()].map((own) => this.#renew(own, true)));
        await this.#watch();
        if (this.#outdated) continue;
        if (failed) this.#log.info({}, "registry restored");
        return;
      } catch (error) {
        if (!failed) this.#log.warn({ err: error }, "registry not restored yet, trying again");
        failed = true;
        await new Promise((resolve) => setTimeout(resolve, delayMs));
      }
    }
  }

  close(): void {
    this.#closed = true;
    this.#generation++;
    clearInterval(this.#timer);
    this.#stopWatch?.();
  }

  async #watch(): Promise<void> {
    this.#stopWatch?.();
    const generation = ++this.#generation;
    // What was known stays so for as long as the registry cannot be read.
    for (const { id } of this.#directory.peers()) this.#unconfirmed.set(id, Infinity);
    const { promise: whenSynced, resolve: synced } = Promise.withResolvers<void>();
    const stop = await this.#store.watch({
      change: (change) => {
        this.#heardMs = nowMs();
        if (generation === this.#generation) this.#apply(change);
      },
      synced,
      ended: () => {
        if (generation === this.#generation && !this.#closed) void this.restore();
      },
    });
    if (generation !== this.#generation) {
      stop();
      return;
    }
    this.#stopWatch = stop;
    const timer = setTimeout(synced, SYNC_TIMEOUT_MS);
    await whenSynced;
    clearTimeout(timer);
    const expiresAt = nowMs() + REGISTRY_TTL_S * 1_000;
    for (const instance of this.#unconfirmed.keys()) this.#unconfirmed.set(instance, expiresAt);
  }

  #apply(change: RegistryChange): void {
    const instance = change.key.slice(change.key.indexOf(".") + 1);
    if (change.type !== "put") {
      // A process that stood still may see its own record expire, one that was cut off that it was expelled.
      const own = this.#own.get(change.key);
      if (own !== undefined) own.dueAt = 0; // it is entered again
      else if (change.type === "expired") this.#absentees.miss(instance);
      else {
        this.#absentees.forget(instance);
        this.#directory.remove(instance);
      }
      return;
    }
    this.#unconfirmed.delete(instance);
    this.#absentees.forget(instance);
    if (this.#own.has(change.key)) return;
    const info = parseInfo(change);
    if (info) this.#directory.put(info);
    else this.#log.warn({ key: change.key }, "unreadable registry record ignored");
  }

  #tick(): void {
    const now = nowMs();
    this.#checkSilence(now);
    for (const own of this.#own.values()) {
      if (own.dueAt <= now && !own.renewing) void this.#renew(own, false);
    }
    for (const [instance, expiresAt] of this.#unconfirmed) {
      if (expiresAt > now) continue;
      this.#unconfirmed.delete(instance);
      const peer = this.#directory.get(instance);
      if (peer && !this.#own.has(registryKey(peer.info))) this.#absentees.miss(instance);
    }
  }

  /** Who is here is renewed and seen to be: a watch that shows nothing for longer than a record lives has come loose. */
  #checkSilence(now: number): void {
    const anybody = !this.#directory.peers().next().done;
    if (!anybody || now - this.#heardMs < REGISTRY_TTL_S * 1_000) return;
    this.#heardMs = now;
    void this.restore();
  }

  #renew(own: Registration, anyRevision: boolean): Promise<void> {
    own.renewing = this.#write(own, anyRevision).finally(() => {
      own.renewing = undefined;
    });
    return own.renewing;
  }

  async #write(own: Registration, anyRevision: boolean): Promise<void> {
    try {
      const expected = anyRevision ? undefined : own.revision;
      own.revision = await this.#store.put(own.key, own.value, REGISTRY_TTL_S, expected);
      own.dueAt = nowMs() + RENEW_AFTER_MS;
      this.#failures = 0;
    } catch (error) {
      if (isMeshError(error, "CONFLICT") && !own.leaving) return this.#write(own, true);
      own.dueAt = nowMs() + TICK_MS;
      this.#log.debug({ err: error, key: own.key }, "registry renewal failed, trying again");
      // The bucket can vanish without the connection breaking: its node of a cluster died, somebody deleted it.
      if (++this.#failures >= MAX_FAILURES && !this.#closed) {
        this.#failures = 0;
        void this.restore();
      }
    }
  }
}

function registryKey(info: InstanceInfo): string {
  return `${info.agent}.${info.instance}`;
}

/** A record as its process wrote it. What would not make a subject or a label must not get any further. */
function parseInfo({ key, value }: { key: string; value: Uint8Array }): InstanceInfo | undefined {
  try {
    const info = JSON.parse(Buffer.from(value).toString("utf8")) as InstanceInfo;
    token("Agent", info.agent);
    token("Instance", info.instance);
    const valid =
      key === registryKey(info) &&
      Array.isArray(info.capabilities) &&
      info.capabilities.every((name) => typeof name === "string") &&
      info.weight > 0;
    return valid ? info : undefined;
  } catch {
    return undefined;
  }
}
