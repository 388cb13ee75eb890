import { Violation } from "./violation.ts";

/** A command as its client numbered it: 1, 2, 3 … per key. */
export interface Command {
  readonly key: string;
  readonly number: number;
}

export type Append = "recorded" | "fenced";

interface Log {
  readonly commands: Command[];
  /** The epoch under which each of the commands was recorded. */
  readonly recorded: number[];
  /** The last number recorded of each key. */
  readonly last: Map<string, number>;
  fence: number;
}

/**
 * The commands of each partition and what was recorded of them. Knows nothing of leases: the fence is all that keeps out
 * an owner of former times. What it accepts must be each key's commands, each once, in order.
 */
export class Journal {
  readonly #logs: readonly Log[];
  readonly #numbers = new Map<string, number>();

  constructor(partitions: number) {
    this.#logs = Array.from({ length: partitions }, () => ({
      commands: [],
      recorded: [],
      last: new Map(),
      fence: 0,
    }));
  }

  submit(partition: number, key: string): void {
    const number = (this.#numbers.get(key) ?? 0) + 1;
    this.#numbers.set(key, number);
    this.#logs[partition]!.commands.push({ key, number });
  }

  /** A new owner raises the fence and learns what has been recorded; undefined: a newer one has been here. */
  open(partition: number, epoch: number): number | undefined {
    const log = this.#logs[partition]!;
    if (epoch < log.fence) return undefined;
    log.fence = epoch;
    return log.recorded.length;
  }

  has(partition: number, index: number): boolean {
    return index < this.#logs[partition]!.commands.length;
  }

  append(partition: number, epoch: number, index: number): Append {
    const log = this.#logs[partition]!;
    if (epoch < log.fence) return "fenced";
    log.fence = epoch;
    if (index < log.recorded.length) {
      if (log.recorded[index] === epoch) return "recorded"; // the answer to the first attempt was lost
      throw new Violation(`command ${index} of partition ${partition} is executed twice`);
    }
    const command = log.commands[index]!;
    const last = log.last.get(command.key) ?? 0;
    if (index > log.recorded.length || command.number !== last + 1) {
      throw new Violation(
        `${command.key} ${command.number} of partition ${partition} after ${last}`,
      );
    }
    log.recorded.push(epoch);
    log.last.set(command.key, command.number);
    return "recorded";
  }

  /** Whether every command that was submitted is recorded. */
  get complete(): boolean {
    return this.#logs.every(({ commands, recorded }) => commands.length === recorded.length);
  }
}
