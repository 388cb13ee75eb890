import type { Command } from "commander";
import { decisionCommand } from "./dlq-choice.ts";

/** `plexus dlq discard` */
export function dlqDiscardCommand(): Command {
  return decisionCommand({
    verb: "discard",
    description: "remove dead letters for good; that they have failed stays recorded",
    done: "discarded",
    decide: (mesh, id) => mesh.deadLetters.discard(id),
  });
}
