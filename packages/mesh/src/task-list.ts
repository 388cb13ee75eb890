import { MeshError, encodePayload, type TaskState } from "@plexus/core";
import { nowMs } from "./clock.ts";
import { controlFields } from "./control.ts";
import type { Pending } from "./inbox.ts";
import { checkListOptions, type ListOptions } from "./list-options.ts";
import type { StoredMessage } from "./nats/stored-message.ts";
import { newest } from "./nats/newest.ts";
import { newId } from "./runtime.ts";
import type { RunReport } from "./task-run.ts";
import type { TaskServices } from "./task-services.ts";
import { endedStatus, queuedStatus, type TaskStatus } from "./task-status.ts";

/** Options of `mesh.listTasks`. */
export interface ListTasksOptions extends ListOptions {
  readonly state?: TaskState;
}

/** What a process tells about each task it works on when it is asked about all of them. */
export interface Survey extends RunReport {
  readonly task: string;
  readonly agent: string;
}

type Runs = ReadonlyMap<string, Survey>;
/** What is listed, and when it became so by the broker's clock. */
type Entry = readonly [at: string, status: TaskStatus];

const STATES: Record<TaskState, "queued" | "ended"> = {
  submitted: "queued",
  working: "queued",
  completed: "ended",
  failed: "ended",
  canceled: "ended",
  rejected: "ended",
};
const SURVEY_MS = 250; // whoever works on something answers at once

/** Lists tasks by what the streams hold, without taking any from whoever works on them. */
export class TaskList {
  readonly #services: TaskServices;

  constructor(services: TaskServices) {
    this.#services = services;
  }

  /** The newest tasks, those that changed last at the end. */
  async list({ state, ...options }: ListTasksOptions): Promise<TaskStatus[]> {
    const where = state === undefined ? undefined : STATES[state];
    if (state !== undefined && where === undefined) {
      const states = Object.keys(STATES).join(", ");
      throw new MeshError(
        "INVALID_INPUT",
        `There is no state ${JSON.stringify(state)}; use ${states}.`,
      );
    }
    const wanted = checkListOptions(options);
    const matches = (status: TaskStatus): boolean =>
      (state === undefined || status.state === state) &&
      (options.agent === undefined || status.agent === options.agent) &&
      (options.capability === undefined || status.capability === options.capability);
    // Queued ones first: what ends between the two is then found twice, not overlooked.
    const queued = where === "ended" ? [] : await this.#queued(wanted, state, matches);
    const ended = where === "queued" ? [] : await this.#ended(wanted, matches);
    const entries = new Map([...queued, ...ended].map((entry) => [entry[1].id, entry]));
    return [...entries.values()]
      .toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .slice(-wanted.limit)
      .map(([, status]) => status);
  }

  async #queued(
    { agent, capability, limit, signal }: ReturnType<typeof checkListOptions>,
    state: TaskState | undefined,
    matches: (status: TaskStatus) => boolean,
  ): Promise<Entry[]> {
    const { runtime, js, store } = this.#services;
    const runs = await this.#survey();
    const pick = (message: StoredMessage): Entry | undefined => {
      const status = attempt(() => queuedStatus(message, runs.get(taskOf(message))));
      return status && matches(status) ? [message.time, status] : undefined;
    };
    if (state === "working") {
      // They may be anywhere in a long queue, so they are looked up one by one.
      const ids = [...runs.values()]
        .filter((run) => agent === "*" || run.agent === agent)
        .map((run) => run.task);
      const messages = await Promise.all(ids.map((id) => store.queued(id)));
      return messages.flatMap((message) => (message && pick(message) ? [pick(message)!] : []));
    }
    const subject = runtime.subjects.task(agent, capability, "*", "*", "*");
    return newest(js, store.tasks, { subject, limit, signal, pick });
  }

  #ended(
    { limit, signal }: ReturnType<typeof checkListOptions>,
    matches: (status: TaskStatus) => boolean,
  ): Promise<Entry[]> {
    const { runtime, js, store } = this.#services;
    return newest(js, store.results, {
      subject: runtime.subjects.done("*"),
      limit,
      signal,
      pick: (message) => {
        const status = attempt(() => endedStatus(message));
        return status && matches(status) ? [message.time, status] : undefined;
      },
    });
  }

  /** Asks all processes what they work on. Those that do not answer in time are left out. */
  #survey(): Promise<Runs> {
    const { inbox, outbox, subjects } = this.#services.runtime;
    return new Promise((resolve) => {
      const runs = new Map<string, Survey>();
      const end = (): void => {
        inbox.delete(pending.id);
        resolve(runs);
      };
      const pending: Pending = {
        id: newId(),
        frame: undefined,
        target: undefined,
        deadlineMs: nowMs() + SURVEY_MS,
        answer: (envelope) => {
          const run = envelope.value as Survey;
          runs.set(run.task, run);
        },
        notDelivered: end,
        lost: end,
        timeout: end,
      };
      inbox.add(pending);
      const question = controlFields(this.#services.runtime, "find", pending.id);
      pending.frame = outbox.add(
        subjects.taskControl("find"),
        { ...question, payload: encodePayload(null) },
        inbox.nextReply,
      );
    });
  }
}

/** The task that a queued message is. */
function taskOf({ subject }: StoredMessage): string {
  return subject.slice(subject.lastIndexOf(".") + 1);
}

/** Undefined for what cannot be read. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
