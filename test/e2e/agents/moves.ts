import { journal } from "@plexus/core";
import type { Mesh, Projection } from "@plexus/mesh";
import { z } from "zod";

/** Transfers: each is a move out of one account, one into another, and a line in the book; `n` tells which. */
export const Moves = journal("moves", {
  events: { moved: z.object({ n: z.number(), cents: z.number() }) },
});

/** What the broker keeps of them: how many there are of each transfer, and the sum. */
export interface Balance {
  readonly count: number;
  readonly cents: number;
}

export function projectBalance(mesh: Mesh): Promise<Projection<Balance>> {
  return mesh.project(Moves, {
    name: "balance",
    store: "bucket",
    initial: { count: 0, cents: 0 },
    on: {
      moved: ({ count, cents }, { data }) => ({ count: count + 1, cents: cents + data.cents }),
    },
  });
}
