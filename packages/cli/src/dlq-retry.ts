import type { Mesh } from "@plexus/mesh";
import type { Command } from "commander";
import { decideOne, decisionCommand } from "./dlq-choice.ts";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";

const RETRY = {
  verb: "retry",
  description: "execute dead letters again, from their first attempt on",
  done: "retried",
  decide: (mesh: Mesh, id: string): Promise<unknown> => mesh.deadLetters.retry(id),
};

/** `plexus dlq retry` */
export function dlqRetryCommand(): Command {
  return decisionCommand(RETRY);
}

/** `plexus task retry` */
export function retryOneCommand(): Command {
  return meshCommand("retry", "execute a task that has failed for good again")
    .argument("<task>", "its id")
    .action((id: string, options: MeshOptions) =>
      withMesh(options, (mesh) => decideOne(mesh, RETRY, id, options)),
    );
}
