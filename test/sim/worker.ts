import type { Journal } from "./journal.ts";
import type { Uplink } from "./network.ts";
import type { World } from "./world.ts";

const RETRY_MS = 300;
const IDLE_MS = 25;

/** What a worker needs of the process it runs in. */
export interface WorkerSite {
  readonly world: World;
  readonly journal: Journal;
  readonly uplink: Uplink;
  /** Runs `then` in the process: at once, after it was resumed, or never if it is dead. */
  inProcess(then: () => void): void;
  /** Whether the process believes that it may take this partition's commands under this epoch. */
  believes(partition: number, epoch: number): boolean;
}

/** Executes one partition's commands one after the other, from `start` to `drop`, as a driver's handler loop would. */
export class Worker {
  readonly partition: number;
  readonly epoch: number;
  readonly #site: WorkerSite;
  readonly #opened: () => void;
  #phase: "opening" | "open" | "quiescing" | "ended" = "opening";
  #busy = false;
  #index = 0;
  #quiesced: (() => void) | undefined;

  /** @param opened called once it is ready for commands */
  constructor(site: WorkerSite, partition: number, epoch: number, opened: () => void) {
    this.#site = site;
    this.partition = partition;
    this.epoch = epoch;
    this.#opened = opened;
    this.#open();
  }

  /** Whether a command is being executed or recorded. */
  get busy(): boolean {
    return this.#busy;
  }

  /** Takes no new command and tells when the one it has is recorded. */
  quiesce(quiesced: () => void): void {
    this.#phase = "quiescing";
    this.#quiesced = quiesced;
    if (!this.#busy) this.#end();
  }

  /** What has left for the journal cannot be called back. */
  abort(): void {
    this.#phase = "ended";
  }

  #open(): void {
    if (this.#phase !== "opening") return;
    const { journal } = this.#site;
    this.#ask(
      () => journal.open(this.partition, this.epoch),
      (next) => {
        if (this.#phase !== "opening") return;
        if (next === undefined) return this.abort();
        this.#index = next;
        this.#phase = "open";
        this.#opened();
        this.#next();
      },
      () => this.#open(),
    );
  }

  #next(): void {
    if (this.#phase !== "open") return;
    const { world, journal } = this.#site;
    if (
      !this.#site.believes(this.partition, this.epoch) ||
      !journal.has(this.partition, this.#index)
    ) {
      return this.#later(IDLE_MS, () => this.#next());
    }
    this.#busy = true;
    this.#later(world.between(0, 20), () => this.#record());
  }

  /** Goes on although it was aborted while it executed: nothing but the fence keeps such a write out. */
  #record(): void {
    const { journal } = this.#site;
    const index = this.#index;
    this.#ask(
      () => journal.append(this.partition, this.epoch, index),
      (outcome) => {
        if (!this.#busy) return; // the answer to an earlier attempt
        this.#busy = false;
        this.#index++;
        if (this.#phase === "quiescing") this.#end();
        else if (outcome === "fenced") this.abort();
        else this.#next();
      },
      () => {
        if (this.#busy && this.#phase !== "ended") this.#record();
      },
    );
  }

  #end(): void {
    this.#phase = "ended";
    this.#quiesced?.();
  }

  #ask<T>(apply: () => T, then: (answer: T) => void, otherwise: () => void): void {
    let answered = false;
    this.#site.uplink.request(apply, (answer) =>
      this.#site.inProcess(() => {
        if (answered) return;
        answered = true;
        then(answer);
      }),
    );
    this.#later(RETRY_MS, () => {
      if (answered) return;
      answered = true;
      otherwise();
    });
  }

  #later(ms: number, then: () => void): void {
    this.#site.world.after(ms, () => this.#site.inProcess(then));
  }
}
