import { type Action, idOf } from "./action.ts";
import { Bell } from "./bell.ts";
import type { Assignment } from "./plan.ts";

type Landed = Extract<Action, { kind: "landed" }>;

/** Where the run stands, as the fold of all actions: what an agent knows that begins anew, and what the score is made of. */
export class Board {
  readonly landed = new Map<string, Landed>();
  readonly dropped = new Set<string>();
  readonly asks = new Map<string, Assignment>();
  /** Process ids of agents, of their latest lives. */
  readonly joined = new Map<string, number>();
  /** Agents that have begun with their work. */
  readonly begun = new Set<string>();
  readonly finished = new Set<string>();
  readonly reviewed = new Set<string>();
  readonly reverted = new Set<string>();
  started = false;
  delivered: Extract<Action, { kind: "delivered" }> | undefined;
  readonly #seen = new Set<string>();
  readonly #bell = new Bell();

  /** @returns false for what was told before, by an earlier life of its agent */
  take(action: Action): boolean {
    const id = idOf(action);
    if (id !== undefined && this.#seen.has(id)) return false;
    if (id !== undefined) this.#seen.add(id);
    this.#fold(action);
    this.#bell.ring();
    return true;
  }

  /** Waits until something holds. Rejects with the signal's reason. */
  async until(holds: () => boolean, signal: AbortSignal): Promise<void> {
    while (!holds()) {
      signal.throwIfAborted();
      // That is what waiting is.
      await this.#bell.rung(signal);
    }
  }

  isSettled(job: string): boolean {
    return this.landed.has(job) || this.dropped.has(job);
  }

  openAsks(agent?: string): Assignment[] {
    return [...this.asks.values()].filter(
      (ask) => !this.isSettled(ask.id) && (agent === undefined || ask.agent === agent),
    );
  }

  #fold(action: Action): void {
    switch (action.kind) {
      case "joined":
        this.joined.set(action.agent, action.pid);
        break;
      case "started":
        this.started = true;
        break;
      case "took":
        this.begun.add(action.agent);
        break;
      case "landed":
        this.landed.set(action.job, action);
        break;
      case "dropped":
        this.begun.add(action.agent);
        this.dropped.add(action.job);
        break;
      case "finished":
        this.finished.add(action.agent);
        break;
      case "reviewed":
        this.reviewed.add(action.job);
        break;
      case "asked":
        this.asks.set(action.ask.id, action.ask);
        break;
      case "reverted":
        this.reverted.add(action.of);
        break;
      case "delivered":
        this.delivered = action;
        break;
      default:
    }
  }
}
