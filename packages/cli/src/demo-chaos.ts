import { type Progress, type RunPlan, uniform } from "@plexus/trading";
import type { DemoBroker } from "./demo-broker.ts";
import type { DemoProcesses } from "./demo-processes.ts";
import { clock } from "./demo-format.ts";

export interface ChaosOptions {
  readonly plan: RunPlan;
  readonly processes: DemoProcesses;
  readonly broker: DemoBroker;
  readonly progress: () => Progress;
  readonly say: (line: string) => void;
}

/** What chaos has done so far. */
export interface ChaosCounts {
  readonly kills: number;
  readonly brokerRestarts: number;
}

const EVERY_MS = 1_000;

/**
 * While bars are being published: kills a process with SIGKILL every second, any of those that are at work, and once, half-way
 * through, the broker, if that is the demo's own. The choice is drawn from the plan's seed. The desk, which keeps the
 * score, is spared. Disposing ends it.
 */
export class Chaos implements Disposable, ChaosCounts {
  readonly #options: ChaosOptions;
  readonly #timer: NodeJS.Timeout;
  #ticks = 0;
  kills = 0;
  brokerRestarts = 0;

  constructor(options: ChaosOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#strike(), EVERY_MS);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #strike(): void {
    const { plan, broker, progress } = this.#options;
    const { phase, elapsedMs, seats } = progress();
    if (phase !== "running" || seats.filter(isFeed).every(isDone)) return;
    const halfMs = (plan.bars / plan.rate) * 500;
    if (broker.kill !== undefined && this.brokerRestarts === 0 && elapsedMs >= halfMs) {
      this.brokerRestarts += 1;
      this.#tell(elapsedMs, "nats-server");
      void broker.kill();
    }
    this.#killOne(seats, elapsedMs);
  }

  /** One that has come back from the last time: a machine that is too slow for a kill a second gets fewer, not a standstill. */
  #killOne(seats: Progress["seats"], elapsedMs: number): void {
    const { processes, plan } = this.#options;
    const first = Math.floor(uniform(plan.seed, this.#ticks) * seats.length);
    this.#ticks += 1;
    const byName = seats.toSorted((a, b) => a.seat.localeCompare(b.seat));
    const inTurn = [...byName.slice(first), ...byName.slice(0, first)];
    const victim = inTurn.find(
      ({ phase, seat, pid }) => phase !== "up" && processes.kill(seat, pid),
    );
    if (victim === undefined) return;
    this.kills += 1;
    this.#tell(elapsedMs, `${victim.seat} (pid ${victim.pid})`);
  }

  #tell(elapsedMs: number, whom: string): void {
    this.#options.say(`${clock(elapsedMs)}  chaos: SIGKILL to ${whom}`);
  }
}

function isFeed({ role }: Progress["seats"][number]): boolean {
  return role === "index" || role === "stocks";
}

function isDone({ phase }: Progress["seats"][number]): boolean {
  return phase === "done" || phase === "finished";
}
