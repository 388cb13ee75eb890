import { once } from "node:events";
import { Board } from "../board.ts";
import { agentsOf, type CrewPlan } from "../plan.ts";
import { openPlace } from "../open-place.ts";
import { rulesAuthor } from "./author.ts";
import { judge } from "./elector.ts";
import { integrate } from "./integrator.ts";
import { review } from "./reviewer.ts";
import type { Seat } from "./seat.ts";
import { work } from "./worker.ts";

/** Who votes where two generators are of different opinion. */
const JUDGES: ReadonlySet<string> = new Set(["reviewer", "tester", "integrator"]);

/** Takes part in a run as one of its agents, until the signal fires. Rejects when it cannot go on: begun anew, it can. */
export async function takeSeat(agent: string, plan: CrewPlan, signal: AbortSignal): Promise<void> {
  if (!agentsOf(plan).includes(agent)) throw new Error(`There is no agent ${agent} in this run`);
  await using place = await openPlace(agent, plan);
  const failed = new AbortController();
  const seat = { place, board: new Board(), plan, signal: AbortSignal.any([signal, failed.signal]) };
  await using _ = JUDGES.has(agent) ? await judge(place) : undefined;
  await place.tell({ kind: "joined", pid: process.pid });
  const parts = [follow(seat), role(seat)];
  try {
    await Promise.all(parts);
    if (!signal.aborted) await once(signal, "abort");
  } finally {
    failed.abort(new Error("another part of this agent failed"));
    await Promise.allSettled(parts);
  }
}

async function follow({ place, board, signal }: Seat): Promise<void> {
  for await (const action of place.actions(signal)) board.take(action);
}

async function role(seat: Seat): Promise<void> {
  const { board, place, signal } = seat;
  // Whoever has heard of their own coming knows what happened before.
  await board.until(() => board.joined.get(place.agent) === process.pid, signal);
  switch (seat.place.agent) {
    case "reviewer":
      return review(seat);
    case "integrator":
      return integrate(seat);
    default:
      return work(seat, rulesAuthor);
  }
}
