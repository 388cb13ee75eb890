import type { Listener } from "./driver.ts";
import type { Effect, RunEvent } from "./event.ts";
import type { Machine } from "./machine.ts";
import { publicValues } from "./view.ts";

/** What can be watched of a run. */
export type StreamMode = "values" | "updates" | "custom" | "tokens" | "debug";

/** A piece of a run's stream. */
export type StreamItem<M extends StreamMode = StreamMode> = Extract<
  /** The state after a step. */
  | {
      readonly mode: "values";
      readonly step: number;
      readonly values: Readonly<Record<string, unknown>>;
    }
  /** What a node has returned. */
  | {
      readonly mode: "updates";
      readonly node: string;
      readonly task: string;
      readonly update: Readonly<Record<string, unknown>>;
    }
  /** What a node has told by `emit`. */
  | { readonly mode: "custom"; readonly node: string; readonly value: unknown }
  /** What a node has told by `token`. */
  | { readonly mode: "tokens"; readonly node: string; readonly text: string }
  /** Each event that the engine takes in: what is recorded. */
  | { readonly mode: "debug"; readonly event: RunEvent },
  { readonly mode: M }
>;

/** Items that a reader may be behind before the run waits for it. */
const MAX_BEHIND = 1_000;

/** What a run's events look like to those who watch it. */
export function itemsOf(
  modes: ReadonlySet<StreamMode>,
  event: RunEvent,
  effects: readonly Effect[],
  { plan, run }: Pick<Machine, "plan" | "run">,
): StreamItem[] {
  const items: StreamItem[] = [];
  if (modes.has("debug")) items.push({ mode: "debug", event });
  if (modes.has("updates") && (event.type === "done" || event.type === "failed")) {
    const result = event.type === "done" ? event.result : event.instead;
    const { node, task } = event;
    if (result !== undefined) items.push({ mode: "updates", node, task, update: result.writes });
  }
  if (modes.has("values")) {
    const step = event.type === "start" ? 0 : effects.find(({ type }) => type === "step");
    if (typeof step === "number" || step?.type === "step") {
      const values = publicValues(plan, run.values);
      items.push({ mode: "values", step: typeof step === "number" ? step : step.step, values });
    }
  }
  return items;
}

/** The stream of one run. Iterate once; leaving it early does not end the run. */
export class RunStream<Item extends StreamItem> implements AsyncIterable<Item>, Listener {
  readonly #modes: ReadonlySet<StreamMode>;
  #items: StreamItem[] = [];
  #wake = Promise.withResolvers<void>();
  #room: PromiseWithResolvers<void> | undefined;
  #over = false;
  #failure: { readonly error: unknown } | undefined;
  #left = false;

  constructor(modes: readonly StreamMode[]) {
    this.#modes = new Set(modes);
  }

  event(event: RunEvent, effects: readonly Effect[], machine: Machine): void {
    for (const item of itemsOf(this.#modes, event, effects, machine)) this.add(item);
  }

  tell(mode: "custom" | "tokens", node: string, value: unknown): void {
    if (!this.#modes.has(mode)) return;
    this.add(mode === "custom" ? { mode, node, value } : { mode, node, text: value as string });
  }

  room(): Promise<void> | undefined {
    if (this.#left || this.#items.length <= MAX_BEHIND) return undefined;
    this.#room ??= Promise.withResolvers<void>();
    return this.#room.promise;
  }

  /** Pieces that the reader has yet to take. */
  get behind(): number {
    return this.#items.length;
  }

  /** No more will come. */
  end(failure?: { readonly error: unknown }): void {
    this.#over = true;
    this.#failure = failure;
    this.#wake.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Item, void> {
    try {
      for (;;) {
        const items = this.#items;
        this.#items = [];
        this.#makeRoom();
        for (const item of items) yield item as Item;
        if (this.#items.length > 0) continue;
        if (this.#over) break;
        // Until there is more.
        await this.#wake.promise;
        this.#wake = Promise.withResolvers();
      }
      if (this.#failure !== undefined) throw this.#failure.error;
    } finally {
      this.#left = true;
      this.#items = [];
      this.#makeRoom();
    }
  }

  /** A piece that somebody else has told. */
  add(item: StreamItem): void {
    if (this.#left) return;
    this.#items.push(item);
    this.#wake.resolve();
  }

  #makeRoom(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }
}
