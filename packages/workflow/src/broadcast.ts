import type { Effect, RunEvent } from "./event.ts";
import { GraphStreams, type Watcher } from "./graph-contract.ts";
import type { GraphMesh } from "./graph-port.ts";
import type { Listener } from "./driver.ts";
import type { Machine } from "./machine.ts";
import { itemsOf, type StreamItem, type StreamMode } from "./stream.ts";

/** Tells somebody elsewhere what happens in a run. What cannot be sent is left out, and its number is missing. */
export class Broadcast implements Listener {
  readonly #mesh: Pick<GraphMesh, "publish">;
  readonly #watch: string;
  readonly #modes: ReadonlySet<StreamMode>;
  #closed = false;
  #seq = 0;
  #sending: Promise<void> | undefined;

  constructor(mesh: Pick<GraphMesh, "publish">, { watch, modes }: Watcher) {
    this.#mesh = mesh;
    this.#watch = watch;
    this.#modes = new Set(modes);
  }

  event(event: RunEvent, effects: readonly Effect[], machine: Machine): void {
    for (const item of itemsOf(this.#modes, event, effects, machine)) this.#send(item);
  }

  tell(mode: "custom" | "tokens", node: string, value: unknown): void {
    if (!this.#modes.has(mode)) return;
    this.#send(mode === "custom" ? { mode, node, value } : { mode, node, text: value as string });
  }

  /** The run waits while the mesh has no room for more. */
  room(): Promise<void> | undefined {
    return this.#sending;
  }

  /** Nobody listens any more. */
  close(): void {
    this.#closed = true;
  }

  #send(item: StreamItem): void {
    if (this.#closed) return;
    const seq = this.#seq++;
    const sent = this.#mesh
      .publish(GraphStreams, { watch: this.#watch, seq, item })
      .catch(() => undefined);
    this.#sending = this.#after(Promise.all([this.#sending, sent]));
  }

  async #after(sent: Promise<unknown>): Promise<void> {
    const own = this.#seq;
    await sent;
    if (this.#seq === own) this.#sending = undefined;
  }
}
