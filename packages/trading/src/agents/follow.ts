import type { Topic } from "@plexus/core";
import type { Subscription } from "@plexus/mesh";
import type * as z from "zod";
import type { Inflow } from "./inflow.ts";
import { since, type Station } from "./station.ts";

type NumberedTopic = Topic<z.ZodType<{ kind: string; number: number }>>;

/** How an event came. */
export interface Arrival {
  /** False: a predecessor has handled and timed it before. */
  readonly isNew: boolean;
  /** How long it was under way, in µs. */
  readonly latencyUs: number;
}

/**
 * Reads a topic from the first event of the run on, in order, each event once. A handler that throws ends this process and has
 * another one begin anew: no event may be left out.
 */
export function follow<T extends NumberedTopic>(
  station: Station,
  topic: T,
  inflow: Inflow,
  handle: (event: z.output<T["schema"]>, arrival: Arrival) => Promise<void> | undefined,
  where: { readonly [P in T["parameters"][number]]?: string | number } = {},
): Promise<Subscription> {
  const fail = (error: unknown): void => station.fail(error);
  return station.mesh.subscribe(
    topic,
    (event, { subject, sentAt }) => {
      try {
        const turn = inflow.take(subject, event);
        if (turn === "repeated") return undefined;
        return handle(event, { isNew: turn === "new", latencyUs: since(sentAt) })?.catch(fail);
      } catch (error) {
        return fail(error);
      }
    },
    { where, from: "all" },
  );
}
