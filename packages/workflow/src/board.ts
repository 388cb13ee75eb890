import type { Effect } from "./event.ts";
import type { Plan } from "./plan.ts";
import type { Offer, RunState, Task } from "./run.ts";
import { Slots } from "./slots.ts";

/** A step's tasks: who is ready, at work or asleep, and what is to be done about it. All of it follows from the run's state. */
export class Board {
  readonly #plan: Plan;
  readonly #run: RunState;
  readonly #prefix: string;
  #slots: Slots;
  /** Tasks that have not ended. */
  open = 0;
  /** Tasks that a process is at work on, or should be. */
  busy = 0;
  /** What the event under way has led to. */
  effects: Effect[] = [];

  constructor(plan: Plan, run: RunState, prefix: string) {
    this.#plan = plan;
    this.#run = run;
    this.#prefix = prefix;
    this.#slots = new Slots(plan);
    this.read();
  }

  /** Reads the run's tasks anew. */
  read(): void {
    this.#slots = new Slots(this.#plan);
    this.open = 0;
    this.busy = 0;
    for (const task of this.#run.tasks) {
      const { is } = task.state;
      if (is === "done") continue;
      this.open++;
      if (is === "ready") this.#slots.queue(task);
      else if (is === "running" || is === "leaving" || is === "inside") this.#slots.enter(task);
      if (is === "running" || is === "leaving") this.busy++;
    }
  }

  /** Starts what is ready, as far as there are slots. */
  start(): void {
    for (let task = this.#slots.next(); task !== undefined; task = this.#slots.next()) {
      task.state = { is: "running" };
      this.execute(task);
    }
  }

  /** A process has to work on the task, which has its slot already. */
  execute(task: Task): void {
    this.busy++;
    this.effects.push({ type: "execute", task: this.#prefix + task.id });
  }

  /** Nothing works on the task until `wake` or `ready`; its slot is another one's. */
  sleep(task: Task, state: Task["state"], until: number | undefined): void {
    task.state = state;
    this.#slots.leave(task);
    this.busy--;
    if (until !== undefined) {
      this.effects.push({ type: "timer", task: this.#prefix + task.id, until });
    }
    this.start();
  }

  wake(task: Task, offer: Offer): void {
    task.offer = offer;
    this.ready(task);
  }

  ready(task: Task): void {
    task.state = { is: "ready" };
    this.#slots.queue(task);
    this.start();
  }

  /** The task has ended. */
  end(task: Task, state: Task["state"]): void {
    task.state = state;
    this.#slots.leave(task);
    this.busy--;
    this.open--;
  }

  abort(task: Task): void {
    if (task.state.is !== "running" && task.state.is !== "leaving") return;
    this.effects.push({ type: "abort", task: this.#prefix + task.id });
  }
}
