import type { Topic } from "@plexus/core";
import type * as z from "zod";
import type { Station } from "./station.ts";

/** Events of one subject that may wait to be stored before its publisher has to wait, too. */
const MAX_WAITING = 64;

type NumberedTopic = Topic<z.ZodType<{ number: number }>>;

/**
 * Publishes the numbered events of one subject. What a predecessor has published is stored, and is not published again: a
 * process that begins anew goes through everything from number 0 and falls silent until it is at what is missing.
 */
export class Outflow<T extends NumberedTopic> {
  readonly #station: Station;
  readonly #topic: T;
  readonly #name: string;
  /** How many events are stored already. */
  readonly #stored: number;
  #next = 0;
  #waiting = 0;
  #last: Promise<void> = Promise.resolve();

  private constructor(station: Station, topic: T, name: string, stored: number) {
    this.#station = station;
    this.#topic = topic;
    this.#name = name;
    this.#stored = stored;
  }

  /** @param where the parameters that make the subject */
  static async open<T extends NumberedTopic>(
    station: Station,
    topic: T,
    where: { readonly [P in T["parameters"][number]]: string | number },
  ): Promise<Outflow<T>> {
    const last = await station.mesh.lastEvent(topic, { where });
    const stored = last === undefined ? 0 : (last.value as { number: number }).number + 1;
    return new Outflow(station, topic, Object.values(where).join("."), stored);
  }

  /** Whether the next event is stored already. */
  get isBehind(): boolean {
    return this.#next < this.#stored;
  }

  /** Publishes the next event, or passes over it. A promise that comes back is to be awaited before the one after it. */
  publish(event: (number: number) => z.input<T["schema"]>): Promise<void> | undefined {
    const number = this.#next;
    this.#next += 1;
    if (number < this.#stored) return undefined;
    this.#waiting += 1;
    this.#last = this.#store(event(number), `${this.#name}:${number}`);
    return this.#waiting < MAX_WAITING ? undefined : this.#last;
  }

  /** Resolves when everything is stored. */
  settled(): Promise<void> {
    return this.#last; // they are stored in their order
  }
  async #store(event: z.input<T["schema"]>, id: string): Promise<void> {
    try {
      await this.#station.mesh.publish(this.#topic, event, { id });
      this.#waiting -= 1;
    } catch (error) {
      this.#station.fail(error);
    }
  }
}
