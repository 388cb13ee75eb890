import type { Plan } from "./plan.ts";
import type { Task } from "./run.ts";

/** Which ready task may be executed next, within the limits of its node and of the graph. */
export class Slots {
  readonly #plan: Plan;
  readonly #lanes = new Map<string, Lane>();
  #taken = 0;

  constructor(plan: Plan) {
    this.#plan = plan;
  }

  /** The task is ready: it waits for its turn. */
  queue(task: Task): void {
    this.#lane(task).waiting.push(task);
  }

  /** The task is being executed already. */
  enter(task: Task): void {
    this.#lane(task).taken++;
    this.#taken++;
  }

  leave(task: Task): void {
    this.#lane(task).taken--;
    this.#taken--;
  }

  /** The next one that may be executed; it has its slot then. */
  next(): Task | undefined {
    if (this.#taken >= this.#plan.maxConcurrency) return undefined;
    for (const lane of this.#lanes.values()) {
      if (lane.taken >= lane.limit || lane.head === lane.waiting.length) continue;
      const task = lane.waiting[lane.head++]!;
      if (lane.head === lane.waiting.length) {
        lane.head = 0;
        lane.waiting.length = 0;
      }
      lane.taken++;
      this.#taken++;
      return task;
    }
    return undefined;
  }

  #lane({ node, undoes }: Task): Lane {
    let lane = this.#lanes.get(node);
    if (lane === undefined) {
      const limit = undoes ? 1 : (this.#plan.nodes.get(node)?.concurrency ?? 1);
      this.#lanes.set(node, (lane = { limit, taken: 0, waiting: [], head: 0 }));
    }
    return lane;
  }
}

interface Lane {
  readonly limit: number;
  readonly waiting: Task[];
  taken: number;
  head: number;
}
