import { type Action, agentsOf, type CrewPlan, uniform } from "@plexus/refactor-crew";
import type { DemoProcesses } from "./demo-processes.ts";

export interface CrewChaosOptions {
  readonly plan: CrewPlan;
  readonly processes: DemoProcesses;
  /** Kills the broker, which comes back. Undefined: there is none, or it is not ours. */
  readonly killBroker: (() => Promise<void>) | undefined;
  /** Told whom it kills: an agent with its pid, or the broker. */
  readonly onKill: (whom: string, at: number) => void;
}

/** What it has done so far. */
export interface CrewKills {
  readonly agents: number;
  readonly broker: number;
}

/** From the start to the first kill, and from one to the next. */
const EVERY_MS = 2_000;

/**
 * Kills an agent with SIGKILL every other second for as long as the plan says that they are at work, one that is in the middle
 * of something if there is one, and half-way the broker. The choice is drawn from the plan's seed. Disposing ends it.
 */
export class CrewChaos implements Disposable {
  readonly #options: CrewChaosOptions;
  #timer: NodeJS.Timeout | undefined;
  readonly #pids = new Map<string, number>();
  readonly #busy = new Set<string>();
  #ticks = 0;
  readonly kills = { agents: 0, broker: 0 };

  constructor(options: CrewChaosOptions) {
    this.#options = options;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  /** Takes note of who is there and who is at work. */
  note(action: Action): void {
    const { agent } = action;
    if (action.kind === "joined") this.#pids.set(agent, action.pid);
    else if (action.kind === "started") this.#begin();
    else if (action.kind === "took") this.#busy.add(agent);
    else if (action.kind === "landed" || action.kind === "dropped") this.#busy.delete(agent);
    else if (action.kind === "delivered") this[Symbol.dispose]();
  }

  #begin(): void {
    const { plan, killBroker, onKill } = this.#options;
    const spanMs = plan.seconds * 1_000;
    const startedMs = performance.now();
    this.#timer = setInterval(() => {
      const elapsedMs = performance.now() - startedMs;
      if (elapsedMs > spanMs) clearInterval(this.#timer);
      else this.#strike();
      if (killBroker === undefined || this.kills.broker > 0 || elapsedMs < spanMs / 2) return;
      this.kills.broker += 1;
      onKill("nats-server", Date.now());
      void killBroker();
    }, EVERY_MS);
  }

  #strike(): void {
    const { plan, processes, onKill } = this.#options;
    const there = agentsOf(plan).filter((agent) => this.#pids.has(agent));
    const first = Math.floor(uniform(plan.seed, "kill", this.#ticks) * there.length);
    this.#ticks += 1;
    const inTurn = [...there.slice(first), ...there.slice(0, first)].toSorted(
      (a, b) => Number(this.#busy.has(b)) - Number(this.#busy.has(a)),
    );
    const victim = inTurn.find((agent) => processes.kill(agent, this.#pids.get(agent)!));
    if (victim === undefined) return;
    this.kills.agents += 1;
    onKill(`${victim} (pid ${this.#pids.get(victim)})`, Date.now());
    this.#busy.delete(victim);
  }
}
