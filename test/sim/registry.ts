import type { RingMember } from "@plexus/core";
import type { World } from "./world.ts";

/** The registry of members: a record lives for `ttlMs` from its last renewal, a graceful leave ends it at once. */
export class Registry {
  readonly #world: World;
  readonly #ttlMs: number;
  readonly #records = new Map<string, { member: RingMember; until: number }>();
  readonly #left = new Set<string>();
  readonly #watchers = new Set<() => void>();

  constructor(world: World, ttlMs: number) {
    this.#world = world;
    this.#ttlMs = ttlMs;
  }

  members(): RingMember[] {
    return Array.from(this.#records.values(), ({ member }) => member);
  }

  /** A renewal on its way does not bring back one that has left. */
  renew(member: RingMember): void {
    if (this.#left.has(member.id)) return;
    const isNew = !this.#records.has(member.id);
    const until = this.#world.now + this.#ttlMs;
    this.#records.set(member.id, { member, until });
    this.#world.after(this.#ttlMs, () => {
      if (this.#records.get(member.id)?.until === until) this.#remove(member.id);
    });
    if (isNew) this.#changed();
  }

  leave(id: string): void {
    this.#left.add(id);
    this.#remove(id);
  }

  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  #remove(id: string): void {
    if (this.#records.delete(id)) this.#changed();
  }

  #changed(): void {
    for (const watcher of this.#watchers) watcher();
  }
}
