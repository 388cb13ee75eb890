import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import {
  AckPolicy,
  DiscardPolicy,
  RetentionPolicy,
  type ConsumerConfig,
  type StreamConfig,
} from "@nats-io/jetstream";
import { MeshError, type ResolvedDurability, type Subjects } from "@plexus/core";
import { nowMs } from "../clock.ts";
import { isNoStream } from "./jetstream-error.ts";
import type { JetStream } from "./jetstream.ts";
import type { StoredMessage } from "./stored-message.ts";
import type { Link } from "./link.ts";
import { Streams } from "./streams.ts";
import { laneName, laneOf, type TaskLane } from "./task-lane.ts";

const NS_PER_MS = 1_000_000;
const SILENCE = 0.9; // of the ackWait: the rest is for what it takes to give the task to somebody else

const LAG_MS = 10; // before a replica that is behind is asked again
const LAGGING_MS = 5_000; // a broker that hung has heard by then what it has missed
const CLEARING_MS = 60_000; // an election takes 4 to 9 s, several on a busy machine
const CLEAR_AGAIN_MS = 500;
/** After a subject's first token: lies in a stream of tasks, on no subject that any task has. */
const BARRIER = "barrier";
const NOTHING = new Uint8Array(0);

/** What the broker holds of a task: its result once it has one, until then the queued message. */
export type FoundTask = { readonly result: StoredMessage } | { readonly queued: StoredMessage };

/** How long what is recorded of a task is kept. */
export interface Retention {
  readonly resultsMs: number;
  readonly deadLettersMs: number;
}

/** The streams of durable work: queued tasks, recorded results and effects, dead letters. All on file. */
export class TaskStore {
  readonly tasks: string;
  readonly results: string;
  readonly dead: string;
  readonly effects: string;
  readonly #link: Link;
  readonly #js: JetStream;
  readonly #streams: Streams;
  readonly #subjects: Subjects;
  readonly #retention: Retention;
  #opened: Promise<void> | undefined;
  readonly #consumers = new Map<string, Promise<void>>();

  constructor(link: Link, js: JetStream, subjects: Subjects, retention: Retention) {
    const { mesh } = subjects;
    this.tasks = `${mesh}-tasks`;
    this.results = `${mesh}-results`;
    this.dead = `${mesh}-dead`;
    this.effects = `${mesh}-effects`;
    this.#streams = new Streams(link);
    this.#link = link;
    this.#js = js;
    this.#subjects = subjects;
    this.#retention = retention;
  }

  /** Makes sure that the streams exist. Throws `INCOMPATIBLE_BROKER` when the broker cannot hold them. */
  open(): Promise<void> {
    this.#opened ??= this.#open().catch((error: unknown) => {
      this.#opened = undefined;
      throw error;
    });
    return this.#opened;
  }

  /**
   * Makes sure that the shared consumer of a lane exists, as it is if it does: who submits may have another version of the
   * contract than who executes. False: this process knows that it does.
   */
  async openLane(lane: TaskLane, durability: ResolvedDurability): Promise<boolean> {
    const name = laneName(lane);
    const known = this.#consumers.get(name);
    if (known !== undefined) {
      await known;
      return false;
    }
    const made = this.#streams
      .addConsumer(this.tasks, this.#consumer(lane, durability))
      .then(() => undefined);
    this.#consumers.set(name, made);
    made.catch(() => this.#consumers.delete(name));
    await made;
    return true;
  }

  /** Makes the shared consumer of a lane, or makes it as who executes its tasks needs it. */
  async settleLane(lane: TaskLane, durability: ResolvedDurability): Promise<void> {
    const config = this.#consumer(lane, durability);
    if (await this.#streams.addConsumer(this.tasks, config)) return;
    const { durable_name: name, ack_wait, max_ack_pending } = config;
    await this.#streams.updateConsumer(this.tasks, name, { ack_wait, max_ack_pending });
  }

  /** Takes a lane as it is, for who does not know what its capability demands of it. False: it does not exist. */
  async adoptLane(lane: TaskLane): Promise<boolean> {
    const name = laneName(lane);
    const existing = this.#consumers.has(name) ? [lane] : await this.lanes(lane.agent);
    if (!existing.some((one) => laneName(one) === name)) return false;
    this.#consumers.set(name, this.#consumers.get(name) ?? Promise.resolve());
    return true;
  }

  /** The lanes of an agent that exist, whoever made them. */
  async lanes(agent: string): Promise<TaskLane[]> {
    const found: TaskLane[] = [];
    for (let offset = 0; ;) {
      const page = await this.#js.api(`CONSUMER.NAMES.${this.tasks}`, { offset });
      const names = (page["consumers"] ?? []) as string[];
      for (const name of names) {
        const lane = laneOf(name);
        if (lane?.agent === agent) found.push(lane);
      }
      offset += names.length;
      if (names.length === 0 || offset >= (page["total"] as number)) return found;
    }
  }

  /** How many tasks of a lane wait, and how many are being worked on. */
  async laneLoad(consumer: string): Promise<{ waiting: number; working: number }> {
    const info = await this.#js.api(`CONSUMER.INFO.${this.tasks}.${consumer}`, {});
    return { waiting: info["num_pending"] as number, working: info["num_ack_pending"] as number };
  }

  /** Removes a lane's consumer if nothing waits on it and nobody works on anything of it. */
  async removeEmpty(consumer: string): Promise<boolean> {
    const { waiting, working } = await this.laneLoad(consumer);
    if (waiting > 0 || working > 0) return false;
    await this.#js.api(`CONSUMER.DELETE.${this.tasks}.${consumer}`, {});
    this.#consumers.delete(consumer);
    return true;
  }

  /** Everything has to be made sure of again: the broker may have lost it. */
  forget(): void {
    this.#opened = undefined;
    this.#consumers.clear();
  }

  /**
   * What there is of a task. Undefined: nothing, for certain: neither a broker that believes to lead nor a replica that lags can
   * make it so. Rejects with `TIMEOUT` or `NOT_CONNECTED` while no broker knows better.
   */
  async find(task: string): Promise<FoundTask | undefined> {
    const seen = await Promise.all([this.result(task), this.queued(task)]);
    const queuedAt = this.#queuedAt(task);
    const done = this.#subjects.done(task);
    // A task leaves the queue after its result is recorded, and after its next attempt is queued: so whoever sees it in neither
    // place looks at both once more, in that order, and twice for the sake of an attempt that was queued meanwhile.
    for (let [result, queued] = seen, rounds = 0; ; rounds++) {
      if (result) return { result };
      if (queued) return { queued };
      if (rounds === 2) return undefined;
      // Only if there seems to be nothing.
      queued = await noneWithoutStream(this.certainly(this.tasks, queuedAt));
      result = await noneWithoutStream(this.certainly(this.results, done));
    }
  }

  /** The recorded result of a task, as far as a broker knows that leads or believes to. */
  result(task: string): Promise<StoredMessage | undefined> {
    return noneWithoutStream(this.#js.last(this.results, this.#subjects.done(task)));
  }

  /** The queued message of a task, due now or later, as far as a broker knows that leads or believes to. */
  queued(task: string): Promise<StoredMessage | undefined> {
    return noneWithoutStream(this.#js.last(this.tasks, this.#queuedAt(task)));
  }

  /**
   * The last message on a subject as of now or later. In a cluster something is stored first: most brokers have confirmed that,
   * so one that has it in sight has everything that was confirmed before. Rejects with `TIMEOUT` or `NOT_CONNECTED` if none does.
   */
  async certainly(stream: string, subject: string): Promise<StoredMessage | undefined> {
    if (!this.#link.clustered) return this.#js.last(stream, subject);
    const { config } = await this.#js.api(`STREAM.INFO.${stream}`, {});
    const [covered = ""] = (config as StreamConfig).subjects;
    const barrier = covered.replace(">", `${BARRIER}.${randomUUID()}`);
    try {
      const sequence = await this.#js.publish(barrier, NOTHING);
      for (const giveUpAt = nowMs() + LAGGING_MS; nowMs() < giveUpAt;) {
        // Again only if who answers is behind.
        const found = await this.#js.lastOf(stream, [subject, barrier]);
        if (found.some((message) => message.sequence === sequence)) {
          return found.findLast((message) => message.sequence !== sequence);
        }
        await sleep(LAG_MS);
      }
      throw new MeshError("TIMEOUT", `No broker has caught up with stream ${stream}.`);
    } finally {
      if (stream === this.tasks) void this.#clear(barrier); // from the others it goes with age
    }
  }

  /** Takes a barrier off the queue, even if that is without a leader just now. */
  async #clear(barrier: string): Promise<void> {
    for (const giveUpAt = nowMs() + CLEARING_MS; nowMs() < giveUpAt && !this.#link.closed;) {
      try {
        await this.#js.purge(this.tasks, barrier);
        return;
      } catch {
        await sleep(CLEAR_AGAIN_MS, undefined, { ref: false });
      }
    }
  }

  /** Takes a task off the queue. */
  async dequeue(task: string): Promise<void> {
    await this.#js.purge(this.tasks, this.#queuedAt(task));
  }

  #queuedAt(task: string): string {
    return this.#subjects.task("*", "*", "*", "*", task);
  }

  async #open(): Promise<void> {
    this.#streams.demandJetStream();
    const { mesh } = this.#subjects;
    const { resultsMs, deadLettersMs } = this.#retention;
    const limits = { retention: RetentionPolicy.Limits };
    // The first message on a subject stays, and every further one is refused: cheaper for the broker than an expectation
    // that each message has to state in a header, and it holds for whoever writes.
    const firstOnly = {
      max_msgs_per_subject: 1,
      discard: DiscardPolicy.New,
      discard_new_per_subject: true,
    };
    await Promise.all([
      this.#streams.make({
        name: this.tasks,
        subjects: [`${mesh}.task.>`],
        retention: RetentionPolicy.Workqueue,
        allow_msg_schedules: true,
      }),
      this.#makeAs(firstOnly, {
        ...limits,
        name: this.results,
        subjects: [`${mesh}.done.>`],
        max_age: resultsMs * NS_PER_MS,
      }),
      this.#makeAs(firstOnly, {
        ...limits,
        name: this.effects,
        subjects: [`${mesh}.effect.>`],
        max_age: resultsMs * NS_PER_MS,
      }),
      this.#streams.make({
        ...limits,
        name: this.dead,
        subjects: [`${mesh}.dead.>`],
        max_age: deadLettersMs * NS_PER_MS,
      }),
    ]);
  }

  /** Makes a stream, or gives one that is there the settings that must be so. */
  async #makeAs(
    settings: Partial<StreamConfig>,
    config: Partial<StreamConfig> & { name: string },
  ): Promise<void> {
    if (await this.#streams.make({ ...config, ...settings })) return;
    await this.#streams.update(config.name, settings);
  }

  #consumer(lane: TaskLane, { ackWaitMs, tenantConcurrency }: ResolvedDurability) {
    const { agent, capability, priority, tenant } = lane;
    return {
      durable_name: laneName(lane),
      filter_subject: this.#subjects.task(agent, capability, priority, tenant, "*"),
      ack_policy: AckPolicy.Explicit,
      ack_wait: Math.floor(ackWaitMs * SILENCE) * NS_PER_MS,
      max_deliver: -1, // counted by who takes it: then the reason can be told
      max_ack_pending: Number.isFinite(tenantConcurrency) ? tenantConcurrency : -1,
      max_waiting: 65_536,
    } satisfies Partial<ConsumerConfig>;
  }
}

/** Where nothing was ever submitted, there is nothing. */
async function noneWithoutStream(
  found: Promise<StoredMessage | undefined>,
): Promise<StoredMessage | undefined> {
  try {
    return await found;
  } catch (error) {
    if (isNoStream(error)) return undefined;
    throw error;
  }
}
