import { MeshError } from "@plexus/core";
import type { Mesh, Subscription } from "@plexus/mesh";
import { seatName } from "./agents/station.ts";
import { loadDataset } from "./dataset.ts";
import { type Command, Commands, Phase, type SeatStatus, Statuses } from "./desk-topics.ts";
import { TradingError } from "./errors.ts";
import { feedSchedule } from "./feed-schedule.ts";
import { nowMicros } from "./micros.ts";
import { type Figures, figures, type Outcome, outcome } from "./outcome.ts";
import { Role, type RunPlan } from "./run-plan.ts";
import { readStoredRun } from "./stored-run.ts";

/** Milliseconds the desk waits before it gives up. */
export interface DeskPatience {
  /** For all processes to be found and ready. */
  readonly start: number;
  /** While nothing at all moves. */
  readonly stall: number;
}

const defaultPatience: DeskPatience = { start: 60_000, stall: 15_000 };
/** While an order may be waiting for a human. */
const HUMAN_PATIENCE_MS = 600_000;
/** From the word to start until the first bar is due. */
const START_DELAY_US = 100_000;
/** Slots due within this time of a stop are still published, so that all feeds stop at the same one. */
const STOP_DELAY_US = 150_000;

/** Processes tell how things are twice a second. */
const LIVELY_MS = 1_000;
const SILENT_MS = 8_000;

/** Roles that answer whoever asks: they have no end of their own. */
const SERVING: ReadonlySet<Role> = new Set(["risk", "order", "portfolio"]);

/** Where a run stands. */
export interface Progress extends Figures {
  readonly phase: "starting" | "running" | "finishing";
  /** Since the first bar was due. */
  readonly elapsedMs: number;
  readonly seats: readonly SeatStatus[];
  /** Processes that have not told anything for a while, though others have: they hang, or are being started again. */
  readonly silent: readonly SeatStatus[];
}

/**
 * Conducts one run: waits for all processes, starts the feeds, follows the end markers through the layers by what the
 * processes tell, and reads the books from the broker. Open it before the processes start, in a mesh without an earlier run.
 */
export class Desk implements AsyncDisposable {
  readonly #mesh: Mesh;
  readonly #plan: RunPlan;
  readonly #patience: DeskPatience;
  readonly #seats = new Map<string, SeatStatus>();
  readonly #heardAt = new Map<string, number>();
  readonly #watchers = new Set<() => void>();
  readonly #dead = new AbortController();
  #subscription: Subscription | undefined;
  #phase: Progress["phase"] = "starting";
  #startAtUs = 0;
  #stopped = false;

  private constructor(mesh: Mesh, plan: RunPlan, patience: DeskPatience) {
    this.#mesh = mesh;
    this.#plan = plan;
    this.#patience = patience;
  }

  static async open(
    mesh: Mesh,
    plan: RunPlan,
    patience: Partial<DeskPatience> = {},
  ): Promise<Desk> {
    const stall = plan.largeOrders === undefined ? {} : { stall: HUMAN_PATIENCE_MS };
    const desk = new Desk(mesh, plan, { ...defaultPatience, ...stall, ...patience });
    desk.#subscription = await mesh.subscribe(Statuses, (status) => desk.#note(status), {
      from: "all",
    });
    return desk;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#subscription?.unsubscribe();
  }

  /** Names of the processes that the plan asks for. */
  get seatNames(): string[] {
    return seatsOf(this.#plan).map(seatName);
  }

  progress(): Progress {
    const seats = [...this.#seats.values()];
    const elapsedMs = this.#startAtUs === 0 ? 0 : (nowMicros() - this.#startAtUs) / 1_000;
    return {
      ...figures(seats, this.#plan),
      phase: this.#phase,
      elapsedMs: Math.max(0, elapsedMs),
      seats,
      silent: this.#silent(seats),
    };
  }

  /**
   * Runs to the end. An aborted `stop` ends the feeds early and lets everything that was published be processed.
   * `died` rejects when a process is gone for good; so does this then. Rejects with `NOT_READY` when processes are missing.
   */
  async run(stop: AbortSignal, died: Promise<never>): Promise<Outcome> {
    died.catch((error: unknown) => this.#dead.abort(error));
    const { start } = this.#patience;
    await this.#command({ kind: "prepare", plan: this.#plan });
    await this.#until("ready", this.seatNames, start, stop);

    this.#startAtUs = nowMicros() + START_DELAY_US;
    this.#phase = "running";
    await this.#command({ kind: "start", startAt: this.#startAtUs });
    const stopEarly = (): void =>
      void this.#stop().catch((error: unknown) => this.#dead.abort(error));
    if (stop.aborted) stopEarly();
    else stop.addEventListener("abort", stopEarly, { once: true });
    const sequential = seatsOf(this.#plan).filter(({ role }) => !SERVING.has(role));
    const stalled = await this.#until("done", sequential.map(seatName), Infinity).catch(
      (error: unknown) => {
        if (error instanceof TradingError && error.code === "STALLED") return error;
        throw error;
      },
    );
    stop.removeEventListener("abort", stopEarly);

    this.#phase = "finishing";
    await this.#command({ kind: "finish" });
    await this.#until("finished", this.seatNames, start);
    const { instruments } = feedSchedule(loadDataset(), this.#plan);
    const symbols = instruments.map(({ symbol }) => symbol);
    return outcome([...this.#seats.values()], {
      plan: this.#plan,
      stopped: this.#stopped,
      stored: await readStoredRun(this.#mesh, symbols),
      startAtUs: this.#startAtUs,
      error: stalled === undefined ? undefined : { code: stalled.code, message: stalled.message },
    });
  }

  async #stop(): Promise<void> {
    this.#stopped = true;
    const elapsedUs = Math.max(0, nowMicros() + STOP_DELAY_US - this.#startAtUs);
    const limit = Math.ceil((elapsedUs / 1e6) * this.#plan.rate);
    await this.#command({ kind: "stop", limit });
  }

  #command(command: Command): Promise<void> {
    return this.#mesh.publish(Commands, command);
  }

  #note(status: SeatStatus): void {
    this.#seats.set(status.seat, status);
    this.#heardAt.set(status.seat, performance.now());
    this.#changed();
  }

  /** Nobody is silent while all are: then it is the broker. */
  #silent(seats: readonly SeatStatus[]): SeatStatus[] {
    const now = performance.now();
    const forMs = ({ seat }: SeatStatus): number => now - (this.#heardAt.get(seat) ?? now);
    if (!seats.some((seat) => forMs(seat) < LIVELY_MS)) return [];
    return seats.filter((seat) => seat.phase !== "finished" && forMs(seat) > SILENT_MS);
  }

  #changed(): void {
    for (const watcher of this.#watchers) watcher();
  }

  /** Resolves when all these seats have come that far. */
  #until(
    phase: Phase,
    names: readonly string[],
    timeoutMs: number,
    stop?: AbortSignal,
  ): Promise<undefined> {
    const wanted = Phase.options.indexOf(phase);
    const missing = (): string[] =>
      names.filter((name) => {
        const at = this.#seats.get(name)?.phase;
        return at === undefined || Phase.options.indexOf(at) < wanted;
      });
    return this.#when(
      () => missing().length === 0,
      timeoutMs,
      () => `not ${phase}: ${missing().join(", ")}`,
      stop,
    );
  }

  /** Waits for a condition: `NOT_READY` after the time, `STALLED` while nothing moves, or what has ended the run. */
  async #when(
    condition: () => boolean,
    timeoutMs: number,
    describe: () => string,
    stop?: AbortSignal,
  ): Promise<undefined> {
    let moved = performance.now();
    let before = "";
    const giveUpAt = moved + timeoutMs;
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const check = (): void => {
      const { aborted, reason } = this.#dead.signal;
      if (aborted) reject(reason);
      else if (stop?.aborted === true) reject(stopped(stop));
      else if (condition()) resolve(undefined);
    };
    const watch = setInterval(() => {
      const now = performance.now();
      const motion = this.#motion();
      if (motion !== before) moved = now;
      before = motion;
      if (now > giveUpAt) reject(new TradingError("NOT_READY", describe()));
      else if (now - moved > this.#patience.stall && timeoutMs === Infinity) {
        const seconds = Math.round(this.#patience.stall / 1_000);
        reject(new TradingError("STALLED", `nothing has moved for ${seconds} s; ${describe()}`));
      }
    }, 250);
    this.#watchers.add(check);
    const ends = [this.#dead.signal, ...(stop === undefined ? [] : [stop])];
    for (const end of ends) end.addEventListener("abort", check);
    check();
    try {
      return await promise;
    } finally {
      clearInterval(watch);
      this.#watchers.delete(check);
      for (const end of ends) end.removeEventListener("abort", check);
    }
  }

  /** Changes whenever any process has done anything. */
  #motion(): string {
    return [...this.#seats.values()]
      .map(({ phase, sent, received }) =>
        [phase, ...Object.values(sent), ...Object.values(received)].join(),
      )
      .join(";");
  }
}

function stopped(stop: AbortSignal): MeshError {
  return new MeshError("CANCELED", "The run was stopped before it had begun.", {
    cause: stop.reason,
  });
}

function seatsOf({ replicas }: RunPlan): { role: Role; index: number }[] {
  return Role.options.flatMap((role) =>
    Array.from({ length: replicas[role] }, (_, index) => ({ role, index })),
  );
}
