import type { Topic } from "@plexus/core";
import type { Mesh } from "@plexus/mesh";
import type * as z from "zod";

/**
 * Publishes that go by before one is awaited: some 3 MB of signals. The mesh asks the broker for a sign of life after
 * 2 MB and refuses more at 64 MB, so the answer is usually there before it is waited for.
 */
const AWAIT_EVERY = 8_192;

/**
 * Publishes from a synchronous handler: most events need no waiting, so only now and then one is awaited, which is
 * enough for a slow broker to slow this publisher down.
 */
export class Outflow<T extends Topic> {
  readonly #mesh: Mesh;
  readonly #topic: T;
  readonly #failed: (error: unknown) => void;
  #count = 0;

  /** `failed` is told when an event could not be published. */
  constructor(mesh: Mesh, topic: T, failed: (error: unknown) => void) {
    this.#mesh = mesh;
    this.#topic = topic;
    this.#failed = failed;
  }

  /** A promise that comes back is to be awaited before the next event. */
  publish(value: z.input<T["schema"]>): Promise<void> | undefined {
    const published = this.#mesh.publish(this.#topic, value).catch(this.#failed);
    this.#count += 1;
    return this.#count % AWAIT_EVERY === 0 ? published : undefined;
  }
}
