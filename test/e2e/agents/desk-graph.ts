import type { Mesh } from "@plexus/mesh";
import { capabilityAgent, handoff, supervisor } from "@plexus/workflow";
import { talker } from "./contracts.ts";

const NAMES = ["ada", "bob"];

/** A supervisor that has each talker of the mesh work ten times, in turn. */
export function desk(mesh: Mesh) {
  const remote = (name: string) =>
    capabilityAgent(mesh, talker(name), "reply", {
      input: ({ task = "" }) => ({ text: task }),
      reply: ({ text }) => text,
    });
  return supervisor({
    name: "desk",
    agents: Object.fromEntries(NAMES.map((name) => [name, remote(name)])),
    decide: (_, { visits }) =>
      visits <= 20 ? handoff(NAMES[visits % 2]!, { task: `part ${visits}` }) : "done",
  }).compile();
}
