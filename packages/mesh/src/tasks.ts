import {
  KINDS,
  DEFAULT_TENANT,
  MeshError,
  agent as makeContract,
  encodePayload,
  readFrame,
  toMs,
  type Agent,
  type Duration,
  type Envelope,
} from "@plexus/core";
import { z } from "zod";
import { nowMs, nowUs } from "./clock.ts";
import { balanceOf, type Balance } from "./balance.ts";
import { controlFields } from "./control.ts";
import type { HostedAgent } from "./host.ts";
import type { InstanceReport } from "./instance-report.ts";
import { DeadLetters } from "./dead-letters.ts";
import type { Pending } from "./inbox.ts";
import { JetStream } from "./nats/jetstream.ts";
import type { LinkSubscription } from "./nats/link.ts";
import { laneTenant } from "./nats/task-lane.ts";
import { TaskStore } from "./nats/task-store.ts";
import { newId, noteBadMessage, type Runtime } from "./runtime.ts";
import { TaskClient } from "./task-client.ts";
import type { Handle } from "./task-handle.ts";
import { TaskList, type ListTasksOptions, type Survey } from "./task-list.ts";
import type { RunReport } from "./task-run.ts";
import { TaskServices } from "./task-services.ts";
import type { TaskStatus } from "./task-status.ts";
import type { SubmitOptions } from "./task-submitter.ts";
import { TaskWorker, type TaskHost } from "./task-worker.ts";

/** How long what is recorded of tasks is kept; decided by the first process that uses tasks in a mesh. */
export interface TaskOptions {
  /** Results and effects, and so how long a key is remembered. Default 1 d. */
  readonly results?: Duration;
  /** Default 14 d. */
  readonly deadLetters?: Duration;
}

const FIND_MS = 250; // whoever works on it answers at once; silence means that nobody does

/** Durable work in one process: submitting, executing, and being asked about it. */
export class Tasks {
  readonly deadLetters: DeadLetters;
  readonly #runtime: Runtime;
  readonly #js: JetStream;
  readonly #services: TaskServices;
  readonly #client: TaskClient;
  readonly #list: TaskList;
  readonly #workers = new Set<TaskWorker>();
  #control: LinkSubscription | undefined;

  constructor(runtime: Runtime, { results = "1d", deadLetters = "14d" }: TaskOptions) {
    this.#runtime = runtime;
    const { link, subjects, client } = runtime;
    const witnessed = subjects.recorded("*", client, "*", "*");
    this.#js = new JetStream(link, `${subjects.inbox(client)}.js`, witnessed);
    const store = new TaskStore(link, this.#js, subjects, {
      resultsMs: toMs(results),
      deadLettersMs: toMs(deadLetters),
    });
    this.#services = new TaskServices(runtime, this.#js, store);
    this.#client = new TaskClient(this.#services, (id) => this.#find(id));
    this.#list = new TaskList(this.#services);
    this.deadLetters = new DeadLetters(this.#services, (id) => this.open(id));
  }

  /** Tasks being worked on, by agent. */
  *running(): Iterable<[string, number]> {
    for (const worker of this.#workers) yield [worker.agent, worker.runs.size];
  }

  submit(contract: Agent, name: string, input: unknown, options: SubmitOptions): Promise<Handle> {
    return this.#client.submit(contract, name, input, options);
  }

  /** Submits without the contract. Only the contract tells how a tenant's lane is to be made, so that must exist. */
  async submitByName(
    agent: string,
    name: string,
    input: unknown,
    options: SubmitOptions,
  ): Promise<Handle> {
    const spec = { input: z.unknown(), output: z.unknown(), durable: true } as const;
    const contract = makeContract(agent, { capabilities: { [name]: spec } });
    const { tenant = DEFAULT_TENANT, priority = "normal" } = options;
    if (tenant !== DEFAULT_TENANT) {
      const shared = { agent, capability: name, priority };
      const lane = { ...shared, tenant: laneTenant(shared, tenant) };
      await this.#services.store.open();
      if (!(await this.#services.store.adoptLane(lane))) {
        throw new MeshError(
          "INVALID_INPUT",
          `Tenant ${tenant} has no ${priority} queue for ${agent}.${name} yet: let its first task be submitted with the contract.`,
        );
      }
    }
    return this.#client.submit(contract, name, input, options);
  }

  open(id: string): Handle {
    return this.#client.open(id);
  }

  list(options: ListTasksOptions): Promise<TaskStatus[]> {
    return this.#list.list(options);
  }

  /** How the work of agents is spread. */
  balance(agents: readonly string[], reports: readonly InstanceReport[]): Promise<Balance> {
    return balanceOf(this.#services.store, agents, reports);
  }

  /** Begins to hear what is said to all hosts of tasks; before anybody learns that this is one. */
  listen(): void {
    this.#control ??= this.#runtime.link.subscribe(
      this.#runtime.subjects.taskControl("*"),
      (data, _subject, reply) => this.#asked(data, reply),
    );
  }

  /** Begins to execute the tasks of a hosted agent. */
  async work(host: TaskHost): Promise<NonNullable<HostedAgent["tasks"]>> {
    const worker = new TaskWorker(this.#services, host);
    await worker.open();
    this.#workers.add(worker);
    return {
      get load() {
        return { running: worker.runs.size, slots: host.slots };
      },
      drain: async () => {
        await worker.drain();
        this.#workers.delete(worker);
      },
    };
  }

  connectionLost(): void {
    this.#js.connectionLost();
  }

  connectionRestored(): void {
    this.#services.store.forget();
    this.#client.restored();
    for (const worker of this.#workers) {
      void this.#services
        .surely(() => worker.restart())
        .catch((error: unknown) =>
          this.#runtime.log.error(
            { err: error, agent: worker.agent },
            "tasks are not fetched any more",
          ),
        );
    }
  }

  close(): void {
    this.#services.close();
    this.#client.close();
    this.#control?.unsubscribe();
    this.#js.close();
  }

  /** Asks all processes which of them works on a task; undefined if none says so. */
  #find(id: string): Promise<RunReport | undefined> {
    const { inbox, outbox, subjects } = this.#runtime;
    return new Promise((resolve) => {
      const end = (report?: RunReport): void => {
        inbox.delete(pending.id);
        resolve(report);
      };
      const pending: Pending = {
        id: newId(),
        frame: undefined,
        target: undefined,
        deadlineMs: nowMs() + FIND_MS,
        answer: (envelope) => end(envelope.value as RunReport),
        notDelivered: end,
        lost: () => end(),
        timeout: end,
      };
      inbox.add(pending);
      // Asked about the task in the payload: the answer must carry the id of the question.
      const question = controlFields(this.#runtime, "find", pending.id);
      pending.frame = outbox.add(
        subjects.taskControl("find"),
        { ...question, payload: encodePayload(id) },
        inbox.nextReply,
      );
    });
  }

  #asked(data: Uint8Array, reply: string | undefined): void {
    try {
      readFrame(data, (envelope) => this.#answer(envelope, reply));
    } catch (error) {
      noteBadMessage(this.#runtime, error);
    }
  }

  #answer(envelope: Envelope, reply: string | undefined): void {
    if (envelope.name === "cancel") {
      const reason = new MeshError("CANCELED", `Task ${envelope.id} was canceled.`);
      for (const worker of this.#workers) worker.runs.get(envelope.id)?.cancel(reason);
      return;
    }
    if (envelope.name === "lost") {
      const { instance } = envelope.value as { instance: string };
      const own = [...this.#workers].some((worker) => worker.instance === instance);
      // If it is alive after all, its next renewal brings it back.
      if (!own) this.#runtime.directory.remove(instance);
      for (const worker of this.#workers) void worker.refresh().catch(() => undefined);
      return;
    }
    if (envelope.name === "lane") {
      for (const worker of this.#workers) {
        if (worker.agent === envelope.value) void worker.refresh().catch(() => undefined);
      }
      return;
    }
    if (envelope.name !== "find" || reply === undefined) return;
    const id = envelope.value as string | null; // null: about all of them
    for (const worker of this.#workers) {
      for (const run of id === null ? worker.runs.values() : [worker.runs.get(id)]) {
        if (run === undefined) continue;
        const report: Survey = { ...run.report, task: run.id, agent: worker.agent };
        this.#runtime.outbox.add(reply, {
          kind: KINDS.response,
          id: envelope.id,
          sender: worker.instance,
          name: "find",
          sentAt: nowUs(),
          payload: encodePayload(report),
        });
      }
    }
  }
}
