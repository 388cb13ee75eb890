import { entity } from "@plexus/core";
import { MeshError } from "@plexus/core";
import type { EntityHandlers, EntityHostOptions, Hosted, Mesh } from "@plexus/mesh";
import { z } from "zod";

/** An account whose events number themselves, so that a test can see what was recorded, how often, and in which order. */
export const Account = entity("account", {
  partitions: 8,
  lease: "1s",
  state: z.object({ cents: z.number(), moves: z.array(z.string()) }),
  initial: { cents: 0, moves: [] },
  events: {
    deposited: z.object({ cents: z.number(), note: z.string() }),
    withdrawn: z.object({ cents: z.number(), note: z.string() }),
  },
  fold: {
    deposited: ({ cents, moves }, event) => ({
      cents: cents + event.cents,
      moves: [...moves, event.note],
    }),
    withdrawn: ({ cents, moves }, event) => ({
      cents: cents - event.cents,
      moves: [...moves, event.note],
    }),
  },
  commands: {
    deposit: {
      input: z.object({ cents: z.number().positive(), note: z.string() }),
      output: z.number(),
    },
    withdraw: {
      input: z.object({ cents: z.number().positive(), note: z.string() }),
      output: z.number(),
    },
    read: { input: z.void(), output: z.object({ cents: z.number(), moves: z.array(z.string()) }) },
  },
});

export const accountHandlers: EntityHandlers<typeof Account> = {
  deposit: (input, context) => {
    context.emit("deposited", input);
    return context.state.cents;
  },
  withdraw: (input, context) => {
    if (input.cents > context.state.cents) {
      throw new MeshError("CONFLICT", `${context.key} has ${context.state.cents} only.`, {
        retryable: false,
      });
    }
    context.emit("withdrawn", input);
    return context.state.cents;
  },
  read: (_input, context) => context.state,
};

/** Hosts accounts, with some handlers of one's own. */
export function hostAccounts(
  mesh: Mesh,
  own: Partial<EntityHandlers<typeof Account>> = {},
  options: EntityHostOptions = {},
): Promise<Hosted> {
  return mesh.host(Account, { ...accountHandlers, ...own }, options);
}
