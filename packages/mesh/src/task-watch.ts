import { KINDS, MeshError, type Envelope } from "@plexus/core";
import { nowMs } from "./clock.ts";
import type { StoredMessage } from "./nats/stored-message.ts";
import type { TaskListener } from "./task-events.ts";
import { readEnvelope, submitterOf } from "./task-message.ts";
import { TaskNewsFeed } from "./task-news.ts";
import type { TaskServices } from "./task-services.ts";

interface Watched {
  readonly listeners: Set<TaskListener>;
  /** Monotonic ms at which the store is asked. */
  dueMs: number;
  pauseMs: number;
}

interface Feed {
  readonly news: TaskNewsFeed;
  users: number;
}

const FIRST_CHECK_MS = 2_000; // results are told by who recorded them; the store is asked in case that got lost
const MAX_CHECK_MS = 30_000;
const SWEEP_MS = 250;
const MAX_CHECKS_AT_ONCE = 256;
const MAX_EARLY = 8_192; // submitted tasks whose result is kept in case it comes before anyone waits for it
const MAX_EARLY_BYTES = 16 * 1024;

/** Those in this process who wait for tasks, and what they are told: by whoever works on them, in case of doubt by the store. */
export class TaskWatch {
  readonly #services: TaskServices;
  readonly #onEnd: (id: string, result: Envelope) => void;
  readonly #watched = new Map<string, Watched>();
  readonly #early = new Map<string, Envelope | undefined>();
  readonly #feeds = new Map<string, Feed>();
  #timer: NodeJS.Timeout | undefined;
  #checks = 0;
  #closed = false;

  /** @param onEnd hears of every task that ends, waited for or not, if this client has submitted it */
  constructor(services: TaskServices, onEnd: (id: string, result: Envelope) => void) {
    this.#services = services;
    this.#onEnd = onEnd;
    this.#follow(services.runtime.client);
  }

  /** After a reconnection: news may have been missed. */
  restored(): void {
    const now = nowMs();
    for (const watched of this.#watched.values()) watched.dueMs = now;
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    const error = closing();
    for (const { listeners } of this.#watched.values()) {
      for (const listener of listeners) listener.unknown(error);
    }
    for (const { news } of this.#feeds.values()) news.unsubscribe();
  }

  /** A task is about to be submitted: its result may come before anyone waits for it. */
  expect(id: string): void {
    if (this.#early.size >= MAX_EARLY) {
      const [oldest] = this.#early.keys();
      if (oldest !== undefined) this.#early.delete(oldest);
    }
    this.#early.set(id, undefined);
  }

  /**
   * Listens to a task's news and its result until the returned function is called.
   * @param fresh it was submitted here a moment ago: there is no need to look for its result yet
   */
  listen(id: string, listener: TaskListener, { fresh }: { fresh: boolean }): () => void {
    if (this.#closed) {
      queueMicrotask(() => listener.unknown(closing()));
      return () => {};
    }
    const early = fresh && this.#early.has(id);
    const result = this.#early.get(id);
    this.#early.delete(id);
    if (result) {
      queueMicrotask(() => listener.ended(result));
      return () => {};
    }
    let watched = this.#watched.get(id);
    if (watched === undefined) {
      const dueMs = nowMs() + (early ? FIRST_CHECK_MS : 0);
      watched = { listeners: new Set(), dueMs, pauseMs: FIRST_CHECK_MS };
      this.#watched.set(id, watched);
      if (!early) queueMicrotask(() => this.#sweep());
    }
    watched.listeners.add(listener);
    this.#timer ??= setInterval(() => this.#sweep(), SWEEP_MS).unref();
    const following = early ? undefined : this.#followOwner(id);
    return () => {
      watched.listeners.delete(listener);
      void this.#unfollow(following);
      if (watched.listeners.size === 0 && this.#watched.get(id) === watched)
        this.#watched.delete(id);
    };
  }

  /** Listens to the news of whoever submitted the task. */
  async #followOwner(id: string): Promise<() => void> {
    const queued = await this.#services.store.queued(id).catch(() => undefined);
    if (queued === undefined || this.#closed) return () => {};
    const sender = senderOf(queued);
    if (sender === undefined) return () => {};
    const feed = this.#follow(sender);
    return () => {
      feed.users--;
      if (feed.users > 0) return;
      feed.news.unsubscribe();
      this.#feeds.delete(sender);
    };
  }

  async #unfollow(following: Promise<() => void> | undefined): Promise<void> {
    const release = await following;
    release?.();
  }

  #follow(client: string): Feed {
    let feed = this.#feeds.get(client);
    if (feed === undefined) {
      const news = new TaskNewsFeed(this.#services.runtime, client, {
        told: (envelope) => this.#told(envelope),
        refused: (id) => this.#doubt(id),
      });
      feed = { news, users: 0 };
      this.#feeds.set(client, feed);
    }
    feed.users++;
    return feed;
  }

  #told(envelope: Envelope): void {
    const { id, kind } = envelope;
    const watched = this.#watched.get(id);
    if (kind === KINDS.control) {
      for (const listener of watched?.listeners ?? []) listener.news(envelope);
      return;
    }
    if (kind !== KINDS.response && kind !== KINDS.error) return;
    this.#onEnd(id, envelope);
    if (watched) this.#end(id, watched, envelope);
    else if (this.#early.has(id)) {
      if (envelope.payload.length <= MAX_EARLY_BYTES) this.#early.set(id, envelope);
      else this.#early.delete(id);
    }
  }

  /** The store knows better. */
  #doubt(id: string): void {
    const watched = this.#watched.get(id);
    if (watched) watched.dueMs = nowMs();
  }

  #end(id: string, watched: Watched, result: Envelope): void {
    this.#watched.delete(id);
    for (const listener of watched.listeners) listener.ended(result);
  }

  #sweep(): void {
    const now = nowMs();
    for (const [id, watched] of this.#watched) {
      if (watched.dueMs > now || this.#checks >= MAX_CHECKS_AT_ONCE) continue;
      watched.dueMs = Infinity;
      this.#checks++;
      void this.#check(id, watched).finally(() => {
        this.#checks--;
      });
    }
    if (this.#watched.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #check(id: string, watched: Watched): Promise<void> {
    const { store } = this.#services;
    try {
      await store.open();
      const found = await store.find(id);
      if (this.#watched.get(id) !== watched) return;
      if (found === undefined) {
        this.#watched.delete(id);
        for (const listener of watched.listeners) listener.unknown(noTask(id));
        return;
      }
      if ("result" in found) {
        this.#end(id, watched, readEnvelope(found.result.data));
        return;
      }
    } catch {
      // The broker is away or not ready; it is asked again.
    }
    watched.dueMs = nowMs() + watched.pauseMs;
    watched.pauseMs = Math.min(watched.pauseMs * 2, MAX_CHECK_MS);
  }
}

/** Who submitted a task; undefined if that is not to be read. What is wrong with it, its host will record. */
function senderOf(queued: StoredMessage): string | undefined {
  try {
    return submitterOf(readEnvelope(queued.data));
  } catch {
    return undefined;
  }
}

function closing(): MeshError {
  return new MeshError("CANCELED", "This connection to the mesh is closed; the task goes on.");
}

export function noTask(id: string): MeshError {
  return new MeshError("NO_TASK", `There is no task ${id}: never submitted, or no longer kept.`);
}
