import { MeshError, PRIORITIES, resolveDurability, type Agent, type Priority } from "@plexus/core";
import { nowMs } from "./clock.ts";
import { Puller, type Delivered, type Source } from "./nats/puller.ts";
import type { Served } from "./served-call.ts";
import { TaskRun, taskId, type RunOwner } from "./task-run.ts";
import type { TaskServices } from "./task-services.ts";

/** What a worker needs of the hosted agent that it works for. */
export interface TaskHost {
  readonly contract: Agent;
  readonly instance: string;
  readonly served: ReadonlyMap<string, Served>;
  readonly slots: number;
  readonly drainTimeoutMs: number;
}

const ANNOUNCE_MS = 10; // tasks that take longer are told to have started
const HAND_BACK_MS = 500; // for handlers that were canceled to come to an end

/** Executes the tasks of one hosted agent: as many at a time as it has slots, and no more than that are fetched. */
export class TaskWorker implements RunOwner {
  readonly services: TaskServices;
  readonly agent: string;
  readonly instance: string;
  readonly runs = new Map<string, TaskRun>();
  readonly #host: TaskHost;
  readonly #durable = new Map<string, NonNullable<ReturnType<RunOwner["served"]>>>();
  readonly #beatMs: number;
  #puller: Puller | undefined;
  #beats: NodeJS.Timeout | undefined;
  #announcing: NodeJS.Timeout | undefined;
  #idle: (() => void) | undefined;

  constructor(services: TaskServices, host: TaskHost) {
    this.services = services;
    this.agent = host.contract.name;
    this.instance = host.instance;
    this.#host = host;
    let beatMs = Infinity;
    for (const [name, served] of host.served) {
      const { durable } = served.capability;
      if (durable === undefined) continue;
      const durability = resolveDurability(durable);
      beatMs = Math.min(beatMs, durability.ackWaitMs / 3);
      this.#durable.set(name, { served, durability });
    }
    this.#beatMs = beatMs;
  }

  /** True if the agent has something that can be submitted. */
  static needed({ contract }: TaskHost): boolean {
    return Object.values(contract.capabilities).some(({ durable }) => durable !== undefined);
  }

  /** Begins to fetch tasks. */
  async open(): Promise<void> {
    const { store, runtime } = this.services;
    await store.open();
    const sources = await Promise.all(
      [...this.#durable].flatMap(([name, { durability }]) =>
        Object.entries(PRIORITIES).map(async ([priority, weight]): Promise<Source> => {
          const { ackWaitMs } = durability;
          const consumer = await store.consumer(this.agent, name, priority as Priority, ackWaitMs);
          return { stream: store.tasks, consumer, weight };
        }),
      ),
    );
    const prefix = `${runtime.subjects.inbox(runtime.client)}.work.${this.instance}`;
    this.#puller = new Puller(runtime.link, prefix, sources, this.#host.slots, (delivered) =>
      this.#take(delivered),
    );
    this.#beats = setInterval(() => {
      for (const run of this.runs.values()) run.beat();
    }, this.#beatMs);
  }

  served(capability: string): ReturnType<RunOwner["served"]> {
    return this.#durable.get(capability);
  }

  ended(run: TaskRun): void {
    if (this.runs.get(run.id) === run) this.runs.delete(run.id);
    this.#puller?.release();
    if (this.runs.size === 0) this.#idle?.();
  }

  /** The connection is back: what the broker has lost is made again, then fetching goes on. */
  async restart(): Promise<void> {
    const { store } = this.services;
    await store.open();
    for (const [name, { durability }] of this.#durable) {
      for (const priority of Object.keys(PRIORITIES) as Priority[]) {
        // oxlint-disable-next-line no-await-in-loop -- few, and the broker has just come back
        await store.consumer(this.agent, name, priority, durability.ackWaitMs);
      }
    }
    this.#puller?.restart();
  }

  /** Fetches nothing more, waits for what is running, and gives back what is not done by then. */
  async drain(): Promise<void> {
    await this.#puller?.stop();
    await this.#settled(this.#host.drainTimeoutMs);
    const reason = new MeshError("CANCELED", "The instance is shutting down.");
    const left = [...this.runs.values()];
    for (const run of left) run.handBack(reason);
    if (left.length > 0) await this.#settled(HAND_BACK_MS);
    clearInterval(this.#beats);
    clearTimeout(this.#announcing);
  }

  #take(delivered: Delivered): void {
    const running = this.runs.get(taskId(delivered));
    if (running) {
      // This process was silent for so long that the broker has given the task to somebody else: to us.
      running.adopt(delivered);
      this.#puller?.release();
      return;
    }
    const run = new TaskRun(this, delivered);
    this.runs.set(run.id, run);
    void run.start();
    this.#announceLater();
  }

  #announceLater(): void {
    this.#announcing ??= setTimeout(() => {
      this.#announcing = undefined;
      const before = nowMs() - ANNOUNCE_MS;
      for (const run of this.runs.values()) if (run.startedMs <= before) run.announce();
      if (this.runs.size > 0) this.#announceLater();
    }, ANNOUNCE_MS);
  }

  /** Resolves when nothing runs, or after a while. */
  async #settled(timeoutMs: number): Promise<void> {
    if (this.runs.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#idle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
