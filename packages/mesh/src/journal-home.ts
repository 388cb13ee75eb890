import type { Compactions } from "./journal-compactions.ts";
import type { Following } from "./journal-follower.ts";
import type { JournalServices } from "./journal-services.ts";
import type { Leases } from "./leases.ts";

/** What the journals of one connection have in common. */
export interface JournalHome {
  readonly services: JournalServices;
  readonly leases: Leases;
  /** Positions, projections and compactions, as they are recorded. */
  readonly compactions: Compactions;
  /** Ends it when the connection is closed; at once, and rejects with `NOT_CONNECTED`, if it is closing. */
  keep<F extends Pick<Following, "stop" | "ended">>(following: F): Promise<F>;
}
