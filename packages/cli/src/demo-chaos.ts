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
 * While a run goes on: kills one of its processes with SIGKILL every second, and once, half-way through, the broker, if that is
 * its own. Who is killed when follows from the plan's seed. The desk, which keeps the score, is spared. Disposing ends it.
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
    const { phase, elapsedMs } = progress();
    if (phase !== "running") return;
    const halfMs = (plan.bars / plan.rate) * 500;
    if (broker.kill !== undefined && this.brokerRestarts === 0 && elapsedMs >= halfMs) {
      this.brokerRestarts += 1;
      this.#tell(elapsedMs, "nats-server");
      void broker.kill();
    }
    this.#killOne(elapsedMs);
  }

  #killOne(elapsedMs: number): void {
    const { processes, plan } = this.#options;
    const { names } = processes;
    const first = Math.floor(uniform(plan.seed, this.#ticks) * names.length);
    this.#ticks += 1;
    for (const offset of names.keys()) {
      const name = names[(first + offset) % names.length] ?? "";
      const pid = processes.kill(name);
      if (pid === undefined) continue; // it has not come back yet
      this.kills += 1;
      this.#tell(elapsedMs, `${name} (pid ${pid})`);
      return;
    }
  }

  #tell(elapsedMs: number, whom: string): void {
    this.#options.say(`${clock(elapsedMs)}  chaos: SIGKILL to ${whom}`);
  }
}
