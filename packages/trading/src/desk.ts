import type { Mesh, Subscription } from "@plexus/mesh";
import { seatName } from "./agents/station.ts";
import { Books, type Command, Commands, Phase, type SeatStatus, Statuses } from "./contracts.ts";
import { TradingError } from "./errors.ts";
import { nowMicros } from "./micros.ts";
import { type Figures, figures, type Outcome, outcome } from "./outcome.ts";
import { mergeReports, type PortfolioReport } from "./report.ts";
import { Role, type RunPlan } from "./run-plan.ts";

/** Milliseconds the desk waits before it gives up. */
export interface DeskPatience {
  /** For all processes to be found and ready. */
  readonly start: number;
  /** While nothing at all moves. */
  readonly stall: number;
}

const defaultPatience: DeskPatience = { start: 60_000, stall: 15_000 };
/** From the word to start until the first bar is due. */
const START_DELAY_US = 100_000;
/** Slots due within this time of a stop are still published, so that all feeds stop at the same one. */
const STOP_DELAY_US = 150_000;

/** Where a run stands. */
export interface Progress extends Figures {
  readonly phase: "starting" | "running" | "finishing";
  /** Since the first bar was due. */
  readonly elapsedMs: number;
  readonly seats: readonly SeatStatus[];
}

/**
 * Conducts one run: waits for all processes, starts the feeds, follows the end markers through the layers by what the
 * processes tell, and collects the books. Open it before the processes start.
 */
export class Desk implements AsyncDisposable {
  readonly #mesh: Mesh;
  readonly #plan: RunPlan;
  readonly #patience: DeskPatience;
  readonly #seats = new Map<string, SeatStatus>();
  readonly #books = new Map<string, PortfolioReport[]>();
  readonly #complete = new Set<string>();
  readonly #watchers = new Set<() => void>();
  readonly #dead = new AbortController();
  #subscriptions: Subscription[] = [];
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
    const desk = new Desk(mesh, plan, { ...defaultPatience, ...patience });
    desk.#subscriptions = await Promise.all([
      mesh.subscribe(Statuses, (status) => desk.#note(status)),
      mesh.subscribe(Books, ({ seat, parts, report }) => {
        const books = desk.#books.get(seat) ?? [];
        books.push(report);
        desk.#books.set(seat, books);
        if (books.length === parts) desk.#complete.add(seat);
        desk.#changed();
      }),
    ]);
    return desk;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#subscriptions.map((subscription) => subscription.unsubscribe()));
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
    };
  }

  /**
   * Runs to the end. An aborted `stop` ends the feeds early and lets everything that was published be processed.
   * `died` rejects when a process is gone; so does this then. Rejects with `NOT_READY` when processes are missing.
   */
  async run(stop: AbortSignal, died: Promise<never>): Promise<Outcome> {
    died.catch((error: unknown) => this.#dead.abort(error));
    const { start } = this.#patience;
    const { replicas } = this.#plan;
    const signal = AbortSignal.any([stop, this.#dead.signal]);
    await Promise.all(
      Role.options.map((role) =>
        this.#mesh.waitFor(role, { instances: replicas[role], timeout: start, signal }),
      ),
    ).catch((error: unknown) => {
      if (this.#dead.signal.aborted) throw this.#dead.signal.reason;
      if (stop.aborted) throw error;
      const missing = this.seatNames.filter((name) => !this.#seats.has(name));
      throw new TradingError("NOT_READY", `not there after ${start} ms: ${missing.join(", ")}`, {
        cause: error,
      });
    });
    await this.#command({ kind: "prepare", plan: this.#plan });
    await this.#until("ready", this.seatNames, start);

    this.#startAtUs = nowMicros() + START_DELAY_US;
    this.#phase = "running";
    await this.#command({ kind: "start", startAt: this.#startAtUs });
    const stopEarly = (): void => void this.#stop();
    if (stop.aborted) stopEarly();
    else stop.addEventListener("abort", stopEarly, { once: true });
    const sequential = seatsOf(this.#plan)
      .filter(({ role }) => role !== "risk" && role !== "order")
      .map(seatName);
    const stalled = await this.#until("done", sequential, Infinity).catch((error: unknown) => {
      if (error instanceof TradingError && error.code === "STALLED") return error;
      throw error;
    });
    stop.removeEventListener("abort", stopEarly);

    this.#phase = "finishing";
    await this.#command({ kind: "finish" });
    await this.#until("finished", this.seatNames, start);
    const portfolios = seatsOf(this.#plan).filter(({ role }) => role === "portfolio");
    await this.#when(
      () => portfolios.every((seat) => this.#complete.has(seatName(seat))),
      start,
      () => "the books of a portfolio are missing",
    );
    return outcome([...this.#seats.values()], {
      plan: this.#plan,
      stopped: this.#stopped,
      report: mergeReports([...this.#books.values()].flat()),
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
    const known = this.#seats.get(status.seat);
    const wasFinished = known?.phase === "finished";
    if (!wasFinished || status.phase === "finished") this.#seats.set(status.seat, status);
    this.#changed();
  }

  #changed(): void {
    for (const watcher of this.#watchers) watcher();
  }

  /** Resolves when all these seats have come that far. */
  #until(phase: Phase, names: readonly string[], timeoutMs: number): Promise<undefined> {
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
    );
  }

  /** Waits for a condition: `NOT_READY` after the time, `STALLED` while nothing moves, or what a process failed with. */
  async #when(
    condition: () => boolean,
    timeoutMs: number,
    describe: () => string,
  ): Promise<undefined> {
    let moved = performance.now();
    let before = "";
    const giveUpAt = moved + timeoutMs;
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const check = (): void => {
      const { aborted, reason } = this.#dead.signal;
      const failed = [...this.#seats.values()].find(({ phase }) => phase === "failed");
      if (aborted) reject(reason);
      else if (failed !== undefined) {
        const { code, message } = failed.error ?? { code: "AGENT_FAILED", message: "no reason" };
        reject(new TradingError("PROCESS_DIED", `${failed.seat} gave up: ${code}: ${message}`));
      } else if (condition()) resolve(undefined);
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
    this.#dead.signal.addEventListener("abort", check);
    check();
    try {
      return await promise;
    } finally {
      clearInterval(watch);
      this.#watchers.delete(check);
      this.#dead.signal.removeEventListener("abort", check);
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

function seatsOf({ replicas }: RunPlan): { role: Role; index: number }[] {
  return Role.options.flatMap((role) =>
    Array.from({ length: replicas[role] }, (_, index) => ({ role, index })),
  );
}
