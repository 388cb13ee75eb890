import { once } from "node:events";
import type { Mesh } from "@plexus/mesh";
import { Board } from "../board.ts";
import { FolderPlace } from "../folder-place.ts";
import { agentsOf, backlog, type CrewPlan } from "../plan.ts";
import { rulesAuthor } from "./author.ts";
import { judge } from "./elector.ts";
import { integrate } from "./integrator.ts";
import { modelAuthor } from "./model-author.ts";
import { openCrewModels } from "./models.ts";
import { review } from "./reviewer.ts";
import type { Seat } from "./seat.ts";
import { work } from "./worker.ts";

/** Who votes where two generators are of different opinion. */
const JUDGES: ReadonlySet<string> = new Set(["reviewer", "tester", "integrator"]);

/**
 * Takes part in a run as one of its agents, until the signal fires. In a workspace, that is on the broker and the mesh that the
 * environment names. Rejects when it cannot go on: begun anew, it can.
 */
export async function takeSeat(agent: string, plan: CrewPlan, signal: AbortSignal): Promise<void> {
  if (!agentsOf(plan).includes(agent)) throw new Error(`There is no agent ${agent} in this run`);
  const failed = new AbortController();
  const until = AbortSignal.any([signal, failed.signal]);
  await using stack = new AsyncDisposableStack();
  const mesh = plan.mode === "folder" ? undefined : stack.use(await connectAs(agent));
  const models = await openCrewModels(mesh);
  if (models) stack.use(models);
  const place = mesh
    ? await workspace(mesh, agent, models, until)
    : new FolderPlace(plan.out, agent);
  const seat = { place, mesh, models, plan, board: new Board(), signal: until };
  if (JUDGES.has(agent)) stack.use(await judge(place));
  // Whoever says that they are there knows the project and their work, so that all begin at the same moment.
  backlog(plan);
  await place.snapshot();
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

async function connectAs(name: string): Promise<Mesh> {
  const { connect } = await import("@plexus/mesh");
  return connect({ name });
}

async function workspace(
  mesh: Mesh,
  agent: string,
  models: Seat["models"],
  signal: AbortSignal,
): Promise<Seat["place"]> {
  const [{ WorkspacePlace }, { modelMerge }] = await Promise.all([
    import("../workspace-place.ts"),
    import("./model-merge.ts"),
  ]);
  if (models === undefined) return new WorkspacePlace(mesh, agent);
  return new WorkspacePlace(mesh, agent, (title) => modelMerge({ models, agent, title, signal }));
}

async function follow({ place, board, signal }: Seat): Promise<void> {
  for await (const action of place.actions(signal)) board.take(action);
}

async function role(seat: Seat): Promise<void> {
  const { board, place, models, signal } = seat;
  const { agent } = place;
  // Whoever has heard of their own coming knows what happened before.
  await board.until(() => board.joined.get(agent) === process.pid, signal);
  switch (agent) {
    case "reviewer":
      return review(seat);
    case "integrator":
      return integrate(seat);
    default:
      return work(seat, models ? modelAuthor(models, agent) : rulesAuthor);
  }
}
