import { setTimeout as sleep } from "node:timers/promises";
import { partitionOf } from "@plexus/core";
import type { Mesh } from "@plexus/mesh";
import { Meter } from "./meter.ts";

/** One direct command, as its caller saw it. */
export interface Reading {
  readonly partition: number;
  readonly from: number;
  readonly to: number;
}

const PAUSE_MS = 50;

/**
 * The load: for each key one command after the other, every third one durable and not waited for. So the answers tell how long a key
 * was not served, and what must be recorded, in which order.
 */
export class Readings {
  readonly recorded = new Map<string, string[]>();
  readonly readings: Reading[] = [];
  readonly failures: string[] = [];
  readonly #running: Promise<unknown>;
  #ended = false;

  constructor(mesh: Mesh, keys: readonly string[]) {
    this.#running = Promise.all(keys.map((key) => this.#lane(mesh, key)));
  }

  get commands(): number {
    return [...this.recorded.values()].reduce((sum, notes) => sum + notes.length, 0);
  }

  async end(): Promise<void> {
    this.#ended = true;
    await this.#running;
  }

  async #lane(mesh: Mesh, key: string): Promise<void> {
    const meter = mesh.get(Meter, key);
    const partition = partitionOf(key, Meter.partitions);
    const notes: string[] = [];
    this.recorded.set(key, notes);
    await sleep(PAUSE_MS * Math.random());
    for (let n = 0; !this.#ended; n++) {
      const note = String(n);
      try {
        if (n % 3 === 2) await meter.add.send({ note }, { id: note, timeout: "60s" });
        else {
          const from = performance.now();
          await meter.add({ note }, { id: note });
          this.readings.push({ partition, from, to: performance.now() });
        }
        notes.push(note);
      } catch (error) {
        this.failures.push(`${key} ${note}: ${String(error)}`);
      }
      await sleep(PAUSE_MS);
    }
  }
}
