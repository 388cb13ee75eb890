import {
  DEFAULT_TENANT,
  MeshError,
  PRIORITIES,
  resolveDurability,
  type Agent,
  type Priority,
} from "@plexus/core";
import { nowMs } from "./clock.ts";
import { NAK_LATER, giveBack, taskId } from "./give-back.ts";
import { ACK, LateAck } from "./late-ack.ts";
import type { TaskMetrics } from "./metrics.ts";
import type { Delivered } from "./nats/feed.ts";
import { Puller } from "./nats/puller.ts";
import { laneName, type TaskLane } from "./nats/task-lane.ts";
import type { Served } from "./served-call.ts";
import { OWN_LANE } from "./task-placement.ts";
import { TaskRun, type RunOwner } from "./task-run.ts";
import type { TaskServices } from "./task-services.ts";
import { TurnShare } from "./turn-share.ts";

/** What a worker needs of the hosted agent that it works for. */
export interface TaskHost {
  readonly contract: Agent;
  readonly instance: string;
  readonly served: ReadonlyMap<string, Served>;
  readonly slots: number;
  readonly drainTimeoutMs: number;
}

const ANNOUNCE_MS = 10; // tasks that take longer are told to have started
const REFRESH_MS = 10_000; // lanes are announced when they are opened; this is for who has missed it
const CLEAR_AFTER_MS = 600_000; // a submitter knows within seconds that an instance is gone
const MAX_POLL_MS = 30_000;
const HAND_BACK_MS = 500; // for handlers that were canceled to come to an end

/** Executes the tasks of one hosted agent: as many at a time as it has slots, and no more than that are fetched. */
export class TaskWorker implements RunOwner {
  readonly services: TaskServices;
  readonly agent: string;
  readonly instance: string;
  readonly runs = new Map<string, TaskRun>();
  readonly #host: TaskHost;
  readonly #durable = new Map<string, NonNullable<ReturnType<RunOwner["served"]>>>();
  readonly #ackWaitMs: number;
  readonly #lanes = new Map<string, TaskLane>();
  readonly #goneSince = new Map<string, number>();
  readonly #turns = new TurnShare();
  readonly #acks: LateAck;
  readonly #metrics = new Map<string, TaskMetrics>();
  #unwatch: (() => void) | undefined;
  #puller: Puller | undefined;
  #beats: NodeJS.Timeout | undefined;
  #refreshing: NodeJS.Timeout | undefined;
  #announcing: NodeJS.Timeout | undefined;
  #idle: (() => void) | undefined;

  constructor(services: TaskServices, host: TaskHost) {
    this.services = services;
    this.agent = host.contract.name;
    this.instance = host.instance;
    this.#host = host;
    this.#acks = new LateAck(services.runtime.link);
    let ackWaitMs = Infinity;
    for (const [name, served] of host.served) {
      const { durable } = served.capability;
      if (durable === undefined) continue;
      const durability = resolveDurability(durable);
      ackWaitMs = Math.min(ackWaitMs, durability.ackWaitMs);
      this.#durable.set(name, { served, durability });
    }
    this.#ackWaitMs = ackWaitMs;
  }

  /** True if the agent has something that can be submitted. */
  static needed({ contract }: TaskHost): boolean {
    return Object.values(contract.capabilities).some(({ durable }) => durable !== undefined);
  }

  /** Begins to fetch tasks. When that fails, nothing of it is left. */
  async open(): Promise<void> {
    try {
      await this.#open();
    } catch (error) {
      await this.drain();
      throw error;
    }
  }

  async #open(): Promise<void> {
    const { store, runtime } = this.services;
    await store.open();
    await this.#openLanes();
    const prefix = `${runtime.subjects.inbox(runtime.client)}.work.${this.instance}`;
    // Should this process hang, it is given nothing more by the time that what it has goes to others.
    const pollMs = Math.min(Math.floor(this.#ackWaitMs / 2), MAX_POLL_MS);
    this.#puller = new Puller(runtime.link, prefix, this.#host.slots, pollMs, {
      take: (delivered) => this.#take(delivered),
      refuse: (delivered) => giveBack(this.services, delivered),
      lost: () => this.#reopen(),
      unacknowledged: () => this.#acks.held,
      acknowledge: () => this.#acks.flush(),
    });
    await this.refresh();
    this.#beats = setInterval(() => {
      for (const run of this.runs.values()) run.beat();
    }, this.#ackWaitMs / 3);
    this.#refreshing = setInterval(() => void this.refresh().catch(() => undefined), REFRESH_MS);
    this.#refreshing.unref();
    this.#unwatch = runtime.directory.watch(({ type, instance: { agent, instance } }) => {
      if (agent !== this.agent) return;
      if (type === "left" || (type === "joined" && this.#rescues(instance))) {
        void this.refresh().catch(() => undefined);
      }
    });
  }

  /** Looks for lanes that somebody else has opened: those of tenants, its own, and of instances that are gone. */
  async refresh(): Promise<void> {
    const { store } = this.services;
    const listed = await store.lanes(this.agent);
    const lanes = listed.filter((lane) => this.#concerned(lane));
    const unsettled: TaskLane[] = [];
    for (const lane of lanes) {
      const consumer = laneName(lane);
      if (this.#lanes.has(consumer)) continue;
      this.#lanes.set(consumer, lane);
      this.#puller?.add({ stream: store.tasks, consumer, weight: PRIORITIES[lane.priority] });
      if (lane.tenant !== DEFAULT_TENANT) unsettled.push(lane);
    }
    const names = new Set(listed.map(laneName));
    for (const [consumer, lane] of this.#lanes) {
      const lost = !names.has(consumer) && this.#concerned(lane, true);
      if (lost) unsettled.push(lane);
      else if (!names.has(consumer) || !this.#concerned(lane)) {
        this.#puller?.remove(consumer); // gone with its instance, or that is back
        this.#lanes.delete(consumer);
      }
    }
    void this.#settle(unsettled).catch(() => undefined); // seen again by who finds a consumer missing
    await this.#clearAway(lanes);
  }

  /** True if it empties the lane of an instance that was taken for lost. */
  #rescues(instance: string): boolean {
    return [...this.#lanes.values()].some(({ tenant }) => tenant === OWN_LANE + instance);
  }

  /** Makes lanes as this contract wants them, whatever their submitters thought, or again if somebody deleted them. */
  async #settle(lanes: readonly TaskLane[]): Promise<void> {
    for (const lane of lanes) {
      const { durability } = this.#durable.get(lane.capability)!;
      const shared = lane.tenant === DEFAULT_TENANT || lane.tenant.startsWith(OWN_LANE);
      const own = shared ? { ...durability, tenantConcurrency: Infinity } : durability; // nobody's tasks in particular
      // One by one: there may be thousands.
      await this.services.store.settleLane(lane, own);
    }
  }

  /** @param lasting of the lanes of other instances none, as they end with them */
  #concerned({ capability, tenant }: TaskLane, lasting = false): boolean {
    if (!this.#durable.has(capability)) return false;
    if (!tenant.startsWith(OWN_LANE)) return true;
    const instance = tenant.slice(OWN_LANE.length);
    if (instance === this.instance) return true;
    return !lasting && !this.services.runtime.directory.get(instance);
  }

  /** A lane whose instance has long been gone is removed once it is empty; by now nobody places anything on it. */
  async #clearAway(lanes: readonly TaskLane[]): Promise<void> {
    const now = nowMs();
    const gone = new Set(lanes.map(({ tenant }) => tenant));
    for (const tenant of this.#goneSince.keys()) {
      if (!gone.has(tenant)) this.#goneSince.delete(tenant);
    }
    for (const lane of lanes) {
      if (!lane.tenant.startsWith(OWN_LANE) || lane.tenant === OWN_LANE + this.instance) continue;
      const since = this.#goneSince.get(lane.tenant) ?? now;
      this.#goneSince.set(lane.tenant, since);
      if (now - since < CLEAR_AFTER_MS) continue;
      const consumer = laneName(lane);
      // One by one, and seldom.
      if (!(await this.services.store.removeEmpty(consumer))) continue;
      this.#puller?.remove(consumer);
      this.#lanes.delete(consumer);
    }
  }

  served(capability: string): ReturnType<RunOwner["served"]> {
    return this.#durable.get(capability);
  }

  metrics(capability: string): TaskMetrics {
    let metrics = this.#metrics.get(capability);
    if (metrics === undefined) {
      metrics = this.services.runtime.metrics.tasksOf(this.agent, capability);
      this.#metrics.set(capability, metrics);
    }
    return metrics;
  }

  acknowledge({ address, delivered }: TaskRun): void {
    const durability = this.#durable.get(address.capability)?.durability;
    // Its slot is taken until the broker knows: where something may wait for it, that is told at once.
    const full = this.#puller === undefined || this.#puller.used >= this.#host.slots;
    if (full || durability?.tenantConcurrency !== Infinity) {
      this.services.runtime.link.publish(delivered.ack, ACK);
    } else this.#acks.acknowledge(delivered);
  }

  ended(run: TaskRun): void {
    if (this.runs.get(run.id) === run) this.runs.delete(run.id);
    this.#puller?.release();
    if (this.runs.size === 0) this.#idle?.();
  }

  /** The connection is back: what the broker has lost is made again, then fetching goes on. */
  async restart(): Promise<void> {
    await this.services.store.open();
    await this.#openLanes();
    await this.refresh();
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
    this.#acks.close();
    clearInterval(this.#beats);
    clearInterval(this.#refreshing);
    this.#unwatch?.();
    clearTimeout(this.#announcing);
  }

  /** A consumer is gone: somebody deleted it, or the broker has lost it. */
  #reopen(): void {
    const { store, runtime } = this.services;
    if (!runtime.link.connected) return;
    store.forget();
    void store
      .open()
      .then(() => this.#openLanes())
      .then(() => this.refresh())
      .catch((error: unknown) => runtime.log.warn({ err: error }, "tasks cannot be fetched"));
  }

  async #openLanes(): Promise<void> {
    const { agent } = this;
    const tenant = DEFAULT_TENANT;
    for (const capability of this.#durable.keys()) {
      const lanes = Object.keys(PRIORITIES).map((priority) =>
        this.#settle([{ agent, capability, priority: priority as Priority, tenant }]),
      );
      // Three at a time.
      await Promise.all(lanes);
    }
  }

  #take(delivered: Delivered): void {
    const running = this.runs.get(taskId(delivered));
    if (running) {
      // This process was silent for so long that the broker has given the task to somebody else: to us. Or it is the next
      // attempt, here before the last one has seen that it is stored.
      if (!running.adopt(delivered)) void giveBack(this.services, delivered, NAK_LATER);
      this.#puller?.release();
      return;
    }
    const run = new TaskRun(this, delivered);
    this.runs.set(run.id, run);
    this.#turns.start(() => void run.start());
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
