import { MeshError, entity, type Duration } from "@plexus/core";
import type { EntityHandlers, EntityHostOptions, Hosted, Mesh } from "@plexus/mesh";
import { z } from "zod";

const declare = (lease: Duration) =>
  entity("account", {
    partitions: 8,
    lease,
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
      read: {
        input: z.void(),
        output: z.object({ cents: z.number(), moves: z.array(z.string()) }),
      },
    },
  });

/** An account whose events number themselves, so that a test can see what was recorded, how often, and in which order. */
export const Account = declare("1s");

/** The same, whose owners keep their partitions for long however slow the machine is. */
export const PatientAccount = declare("10s");

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
  contract = Account,
): Promise<Hosted> {
  return mesh.host(contract, { ...accountHandlers, ...own }, options);
}
