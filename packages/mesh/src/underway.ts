import { MeshError } from "@plexus/core";
import type { Outcome } from "./entity-record.ts";

/** One command that runs or waits, however many requests ask for it. */
export class Execution {
  /** Runs until its last caller has no time left; monotonic ms. */
  deadlineMs: number;
  /** Requests that wait for it. None: it is durable, and nobody need wait for it. */
  readonly requests = new Set<string>();
  /** Its handler, while that runs. */
  scope: { cancel(reason: MeshError): void } | undefined;
  #canceled: MeshError | undefined;

  constructor(deadlineMs: number) {
    this.deadlineMs = deadlineMs;
  }

  /** Why it must not begin, or was told to stop. */
  get canceled(): MeshError | undefined {
    return this.#canceled;
  }

  cancel(reason: MeshError): void {
    this.#canceled ??= reason;
    this.scope?.cancel(reason);
  }
}

interface Entry {
  readonly execution: Execution;
  readonly outcome: Promise<Outcome>;
}

const MAX_WAITING = 4_096; // requests of one partition
const MAX_WAITING_FOR_KEY = 1_024; // fewer, so that a busy key does not shut the others out

/** The commands of one partition that run or wait: one that is asked for once more joins itself. */
export class Underway {
  readonly #entries = new Map<string, Entry>();
  readonly #executions = new Set<Execution>();
  readonly #byRequest = new Map<string, Execution>();
  readonly #perKey = new Map<string, number>();
  #waiting = 0;
  #whenIdle: (() => void)[] = [];

  /**
   * Executes the direct command of a request, or joins it if it runs or waits already, unless everybody has given that up.
   * Rejects with `OVERLOADED` if there are too many.
   */
  async request(
    key: string,
    id: string,
    request: string,
    deadlineMs: number,
    execute: (execution: Execution) => Promise<Outcome>,
  ): Promise<Outcome> {
    const name = nameOf(key, id);
    const known = this.#entries.get(name);
    const same = known !== undefined && known.execution.canceled === undefined ? known : undefined;
    if (same?.execution.requests.has(request)) return same.outcome; // sent once more
    const forKey = this.#perKey.get(key) ?? 0;
    if (this.#waiting >= MAX_WAITING || forKey >= MAX_WAITING_FOR_KEY) {
      const what = forKey >= MAX_WAITING_FOR_KEY ? `key ${JSON.stringify(key)}` : "its partition";
      const text = `${Math.max(forKey, this.#waiting)} commands wait for ${what}.`;
      throw new MeshError("OVERLOADED", text);
    }
    const { execution, outcome } = same ?? this.#begin(name, deadlineMs, execute);
    execution.deadlineMs = Math.max(execution.deadlineMs, deadlineMs);
    execution.requests.add(request);
    this.#byRequest.set(request, execution);
    this.#waiting++;
    this.#perKey.set(key, forKey + 1);
    try {
      return await outcome;
    } finally {
      if (this.#byRequest.get(request) === execution) this.#byRequest.delete(request);
      this.#waiting--;
      const left = this.#perKey.get(key)! - 1;
      if (left > 0) this.#perKey.set(key, left);
      else this.#perKey.delete(key);
    }
  }

  /** Executes a durable command. It waits its turn behind a direct one of the same id, which may leave no record. */
  durable(
    key: string,
    id: string,
    execute: (execution: Execution) => Promise<Outcome>,
  ): Promise<Outcome> {
    return this.#begin(nameOf(key, id), Infinity, execute).outcome;
  }

  /** A request is not waited for any more; its command is canceled if no other one is. */
  leave(request: string, reason: MeshError): void {
    const execution = this.#byRequest.get(request);
    if (execution === undefined || !execution.requests.delete(request)) return;
    if (execution.requests.size === 0 && execution.deadlineMs < Infinity) execution.cancel(reason);
  }

  /** Cancels what nobody has time for any more. */
  tick(now: number): void {
    for (const execution of this.#executions) {
      if (execution.deadlineMs > now) continue;
      const text = "The caller's deadline passed before the command had ended.";
      execution.cancel(new MeshError("DEADLINE_EXCEEDED", text));
    }
  }

  cancelAll(reason: MeshError): void {
    for (const execution of this.#executions) execution.cancel(reason);
  }

  /** Resolves when nothing runs or waits. */
  async idle(): Promise<void> {
    if (this.#executions.size === 0) return;
    await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }

  #begin(
    name: string,
    deadlineMs: number,
    execute: (execution: Execution) => Promise<Outcome>,
  ): Entry {
    const execution = new Execution(deadlineMs);
    this.#executions.add(execution);
    const entry = { execution, outcome: execute(execution) };
    this.#entries.set(name, entry);
    const ended = (): void => {
      this.#executions.delete(execution);
      if (this.#entries.get(name) === entry) this.#entries.delete(name);
      if (this.#executions.size > 0) return;
      for (const idle of this.#whenIdle.splice(0)) idle();
    };
    entry.outcome.then(ended, ended);
    return entry;
  }
}

function nameOf(key: string, id: string): string {
  return `${key}\0${id}`;
}
