import {
  MAX_TIMER_MS,
  KINDS,
  MeshError,
  isMeshError,
  toMeshError,
  type Envelope,
  type ResolvedDurability,
} from "@plexus/core";
import { nowMs } from "./clock.ts";
import { isThenable, orCanceled, runInScope } from "./context.ts";
import { explain } from "./route.ts";
import { NAK, NAK_LATER, giveBack, taskId, timesGivenBack, wasGivenBack } from "./give-back.ts";
import type { TaskMetrics } from "./metrics.ts";
import type { Delivered } from "./nats/feed.ts";
import type { Served } from "./served-call.ts";
import {
  TaskEnding,
  deadlineOf,
  type Address,
  type EndingRun,
  type Outcome,
} from "./task-ending.ts";
import { RECHECK, readEnvelope, resultFields, submitterOf, type TaskNews } from "./task-message.ts";
import { TaskScope, type Execution } from "./task-scope.ts";
import type { TaskServices } from "./task-services.ts";

/** What a run needs of the worker that it is one of. */
export interface RunOwner {
  readonly services: TaskServices;
  readonly agent: string;
  readonly instance: string;
  readonly runs: ReadonlyMap<string, TaskRun>;
  served(capability: string): { served: Served; durability: ResolvedDurability } | undefined;
  metrics(capability: string): TaskMetrics;
  /** Its result is recorded: tells the broker, if not at once. */
  acknowledge(run: TaskRun): void;
  /** The run has let go of its task. */
  ended(run: TaskRun): void;
}

/** What a run tells about itself. */
export interface RunReport {
  readonly instance: string;
  readonly attempt: number;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly fraction: number | undefined;
  readonly note: string | undefined;
}

const WORKING = Buffer.from("+WPI");
const PROGRESS_MS = 100; // at most so often is progress told

/** One execution of a task, from its delivery until the broker is told what became of it. */
export class TaskRun implements Execution, EndingRun {
  readonly id: string;
  readonly instance: string;
  readonly owner: RunOwner;
  readonly address: Address;
  /** Somebody may have recorded the result already. */
  readonly #recheck: boolean;
  readonly #ending = new TaskEnding(this);
  #delivered: Delivered;
  readonly #startedAt = Date.now();
  /** Monotonic ms. */
  readonly startedMs = nowMs();
  #attempt = 1;
  #client = "";
  #scope: TaskScope | undefined;
  #canceled: MeshError | undefined;
  #released = false;
  #began = false;
  #announced = false;
  #fraction: number | undefined;
  #note: string | undefined;
  #toldMs = -Infinity;

  constructor(owner: RunOwner, delivered: Delivered) {
    this.owner = owner;
    this.#delivered = delivered;
    this.instance = owner.instance;
    const [, , , capability = "", priority = "", tenant = ""] = delivered.subject.split(".");
    const id = taskId(delivered);
    this.address = { capability, priority, tenant, id };
    this.id = id;
    this.#recheck = delivered.deliveries > 1 || (delivered.headers?.get(RECHECK) ?? "") !== "";
  }

  get repeated(): boolean {
    return this.#recheck || this.#attempt > 1;
  }

  get attempt(): number {
    return this.#attempt;
  }

  get client(): string {
    return this.#client;
  }

  get delivered(): Delivered {
    return this.#delivered;
  }

  get report(): RunReport {
    const { instance, attempt } = this;
    return {
      instance,
      attempt,
      startedAt: this.#startedAt,
      fraction: this.#fraction,
      note: this.#note,
    };
  }

  /** Executes the task; resolves when it is over, whatever happens. */
  async start(): Promise<void> {
    const { services } = this.owner;
    try {
      await this.#run();
    } catch (error) {
      // What the broker did not take is delivered again, here or elsewhere.
      const { log } = services.runtime;
      log.warn({ err: error, task: this.id }, "a task could not be brought to its end");
      if (!this.#release()) return;
      services.runtime.link.publish(this.#delivered.ack, NAK_LATER);
      this.owner.ended(this);
    }
  }

  /** Tells that it has begun, once. Most tasks are over before; then their end says it. */
  announce(): void {
    if (this.#announced || !this.#began || this.#released) return;
    this.#announced = true;
    this.tell("started", null);
  }

  /** Tells the broker that it is still being worked on. */
  beat(): void {
    if (!this.#released) this.owner.services.runtime.link.publish(this.#delivered.ack, WORKING);
  }

  /** Takes the same message, delivered once more: from now on this delivery is acknowledged. False: it is another one. */
  adopt(delivered: Delivered): boolean {
    if (delivered.sequence !== this.#delivered.sequence) return false;
    this.#delivered = delivered;
    return true;
  }

  cancel(reason: MeshError): void {
    this.#canceled ??= reason;
    this.#scope?.cancel(reason);
  }

  /** Gives the task back for somebody else to execute, whatever its handler still does. */
  handBack(reason: MeshError): void {
    if (this.#release()) {
      void giveBack(this.owner.services, this.#delivered, NAK).then(() => this.owner.ended(this));
    }
    this.cancel(reason);
  }

  progress(fraction: number, note: string | undefined): void {
    this.#fraction = fraction;
    this.#note = note;
    const now = nowMs();
    if (now - this.#toldMs < PROGRESS_MS && fraction < 1) return;
    this.#toldMs = now;
    this.announce();
    this.tell("progress", { fraction, ...(note === undefined ? {} : { note }) });
  }

  async #run(): Promise<void> {
    if (this.#released) return; // given back before its turn came
    const ending = this.#ending;
    let envelope: Envelope;
    try {
      envelope = readEnvelope(this.#delivered.data);
      if (envelope.kind !== KINDS.task_delegation || envelope.id !== this.id) {
        throw new MeshError("BAD_MESSAGE", "It is not the task that its subject names.");
      }
    } catch (error) {
      await ending.giveUp(toMeshError(error));
      return;
    }
    this.#attempt = Math.max(1, envelope.seq);
    this.#client = submitterOf(envelope) ?? "";
    if (this.#recheck && (await this.#isOver())) return;
    const { agent } = this.owner;
    const { capability } = this.address;
    const known = this.owner.served(capability);
    if (known === undefined) {
      const text = `Agent ${agent} has no durable ${capability}.`;
      await ending.giveUp(new MeshError("NO_CAPABILITY", text));
      return;
    }
    const { served, durability } = known;
    let input: unknown;
    try {
      if (this.#delivered.deliveries > durability.deliveries) {
        const lost = await this.#givenUp(durability.deliveries);
        if (lost) throw lost;
      }
      if (deadlineOf(envelope) <= nowMs()) {
        throw new MeshError("DEADLINE_EXCEEDED", "The deadline passed in the queue.");
      }
      input = parsed(served, envelope);
    } catch (error) {
      await ending.giveUp(toMeshError(error));
      return;
    }
    if (this.#canceled) {
      await ending.record({ error: this.#canceled });
      return;
    }
    this.#began = true;
    const outcome = await this.#execute(served, envelope, input);
    if (this.#released) return;
    await ending.conclude(outcome, envelope, durability.retry);
  }

  /** True if there is nothing to do: the result is recorded already and only the acknowledgement was lost, or it is given back. */
  async #isOver(): Promise<boolean> {
    const { services } = this.owner;
    const delivered = this.#delivered;
    const [result, orderly] = await Promise.all([
      services.surely(() => services.store.result(this.id)),
      delivered.deliveries === 1 || wasGivenBack(services, delivered),
    ]);
    if (result) this.done();
    if (this.#released) return true;
    if (!orderly) this.#reassigned();
    return false;
  }

  /** Whoever had it has given no sign of life. */
  #reassigned(): void {
    const { services, agent } = this.owner;
    const { metrics, log } = services.runtime;
    const { capability } = this.address;
    metrics.taskReassigned.with({ agent, capability }).value++;
    log.warn(
      { task: this.id, agent, capability, deliveries: this.#delivered.deliveries },
      "a task is executed again: its instance was lost or fell silent",
    );
    this.#announced = true;
    this.tell("reassigned", null);
  }

  /** Why it is not to be executed any more, once it has been delivered too often; undefined if it is. */
  async #givenUp(limit: number): Promise<MeshError | undefined> {
    const { deliveries } = this.#delivered;
    const lost = deliveries - (await timesGivenBack(this.owner.services, this.#delivered));
    if (lost <= limit) return undefined;
    const text = `It was delivered ${lost} times, and each time its instance was lost or fell silent.`;
    return new MeshError("AGENT_LOST", text);
  }

  /** Runs the handler to its end, or until it is canceled or its time is over: then without waiting for it. */
  async #execute(served: Served, envelope: Envelope, input: unknown): Promise<Outcome> {
    const { services } = this.owner;
    const { timeout } = served.capability;
    const finalMs = deadlineOf(envelope);
    const attemptMs = timeout === undefined ? Infinity : nowMs() + served.timeoutMs;
    const scope = new TaskScope(
      services,
      this,
      envelope,
      Math.min(finalMs, attemptMs),
      services.runtime.log,
    );
    this.#scope = scope;
    let timer: NodeJS.Timeout | undefined;
    if (scope.deadlineMs < Infinity) {
      const late = new MeshError("TIMEOUT", `${served.name} did not end in time.`, {
        retryable: attemptMs < finalMs,
      });
      const leftMs = Math.min(scope.deadlineMs - nowMs(), MAX_TIMER_MS);
      timer = setTimeout(() => scope.cancel(late), leftMs);
    }
    try {
      const result = runInScope(scope, served.handler, input, scope);
      if (!isThenable(result)) return { value: result };
      return { value: await orCanceled(scope, result) };
    } catch (thrown) {
      const canceled = scope.canceled;
      return { error: canceled && !isMeshError(thrown) ? canceled : toMeshError(thrown) };
    } finally {
      clearTimeout(timer);
    }
  }

  done(): void {
    if (!this.#release()) return;
    this.owner.acknowledge(this);
    this.owner.ended(this);
  }

  /** True the first time: from then on the delivery has its answer. */
  #release(): boolean {
    if (this.#released) return false;
    this.#released = true;
    return true;
  }

  tell(news: TaskNews, value: unknown): void {
    const { runtime } = this.owner.services;
    if (this.#client === "" || !runtime.link.connected) return;
    const task = { id: this.id, client: this.#client, name: news };
    runtime.outbox.add(runtime.subjects.taskEvents(this.#client), {
      ...resultFields(task, this.instance, { value }, this.#attempt),
      kind: KINDS.control,
    });
  }
}

/** The task's input, as the contract wants it. Throws what is wrong with it. */
function parsed(served: Served, envelope: Envelope): unknown {
  const input = served.capability.input.safeParse(envelope.value);
  if (input.success) return input.data;
  throw new MeshError("INVALID_INPUT", explain(input.error));
}
