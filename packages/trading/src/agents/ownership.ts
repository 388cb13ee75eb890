import { buildRing, MeshError, type Ring, type RingMember } from "@plexus/core";
import type { Mesh } from "@plexus/mesh";

/**
 * Which symbols this instance owns: by the same ring that places calls with `bySymbol`. Holds while the instances of the
 * agent stay the same, which a run requires.
 */
export class Ownership {
  readonly #ring: Ring<RingMember>;
  readonly #instance: string;
  readonly #owned = new Map<string, boolean>();

  constructor(mesh: Mesh, agent: string, instance: string) {
    const members = mesh.agents(agent).map(({ instance: id, weight }) => ({ id, weight }));
    this.#ring = buildRing(members);
    this.#instance = instance;
  }

  has(symbol: string): boolean {
    let owned = this.#owned.get(symbol);
    if (owned === undefined) {
      owned = this.#ring.owner(symbol)?.id === this.#instance;
      this.#owned.set(symbol, owned);
    }
    return owned;
  }

  /** Throws `CONFLICT` for a symbol of another instance: a call that went astray must not open a second book. */
  require(symbol: string): void {
    if (!this.has(symbol)) {
      throw new MeshError("CONFLICT", `${this.#instance} does not own ${symbol}.`);
    }
  }
}
