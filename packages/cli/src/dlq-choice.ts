import { isMeshError, toMeshError, type MeshError } from "@plexus/core";
import type { Mesh } from "@plexus/mesh";
import type { Command } from "commander";
import { chooseLetters, type LetterOptions } from "./dlq-list.ts";
import { EXIT, UsageError } from "./exit-codes.ts";
import { meshCommand, withMesh } from "./mesh-options.ts";
import { note, oneLine, print, printJson } from "./output.ts";

interface ChoiceOptions extends LetterOptions {
  readonly all?: true;
  readonly yes?: true;
}

/** What a command does to dead letters, in words, and how. */
interface Decision {
  /** Its name: `retry`. */
  readonly verb: string;
  readonly description: string;
  /** `retried`; also the name of its list of ids in JSON. */
  readonly done: string;
  readonly decide: (mesh: Mesh, id: string) => Promise<unknown>;
}

const PAGE = 10_000; // the most that a list holds
const AT_ONCE = 16;

/** A command that does something to one dead letter, or with `--all` to those that its filters choose. */
export function decisionCommand(decision: Decision): Command {
  const { verb, description } = decision;
  return chooseLetters(meshCommand(verb, description))
    .argument("[task]", "its id")
    .option("--all", "all of them, or those of --agent and --capability")
    .option("--yes", "with --all: yes, really")
    .addHelpText(
      "after",
      `\nWith --json: {"${decision.done}": [ids], "failed": [{"id", "error"}]}.`,
    )
    .action(async (id: string | undefined, options: ChoiceOptions) => {
      const { agent, capability, all } = options;
      if ((id === undefined) === (all === undefined))
        throw new UsageError("Give the id of a task, or --all.");
      if (id !== undefined && (agent ?? capability) !== undefined) {
        throw new UsageError("--agent and --capability go with --all.");
      }
      await withMesh(options, async (mesh, signal) => {
        if (id === undefined) await decideAll(mesh, decision, options, signal);
        else await decideOne(mesh, decision, id, options);
      });
    });
}

/** Does it to one of them. */
export async function decideOne(
  mesh: Mesh,
  { decide, done }: Decision,
  id: string,
  { json }: LetterOptions,
): Promise<void> {
  await decide(mesh, id);
  if (json) printJson({ [done]: [id], failed: [] });
  else print(`${done} ${id}`);
}

async function decideAll(
  mesh: Mesh,
  { verb, decide, done }: Decision,
  { agent, capability, yes, json }: ChoiceOptions,
  signal: AbortSignal,
): Promise<void> {
  const tried = new Set<string>();
  const left = async (): Promise<string[]> => {
    const letters = await mesh.deadLetters.list({
      limit: PAGE,
      signal,
      ...(agent === undefined ? {} : { agent }),
      ...(capability === undefined ? {} : { capability }),
    });
    return letters.map(({ id }) => id).filter((id) => !tried.has(id));
  };
  const succeeded: string[] = [];
  const failed: { id: string; error: MeshError }[] = [];
  const attempt = async (id: string): Promise<void> => {
    tried.add(id);
    try {
      await decide(mesh, id);
      succeeded.push(id);
    } catch (error) {
      if (!isMeshError(error, "NO_TASK")) failed.push({ id, error: toMeshError(error) }); // else: somebody was faster
    }
  };

  let ids = await left();
  if (ids.length > 0 && !yes) {
    const many = ids.length === PAGE ? `at least ${PAGE}` : String(ids.length);
    throw new UsageError(`This would ${verb} ${many} dead letters. Say --yes if that is meant.`);
  }
  while (ids.length > 0) {
    const now = ids.splice(0, AT_ONCE);
    signal.throwIfAborted();
    // A few at once.
    await Promise.all(now.map(attempt));
    // What failed again meanwhile has been tried: this ends.
    // One page at a time.
    if (ids.length === 0) ids = await left();
  }
  if (json) printJson({ [done]: succeeded, failed });
  else {
    for (const { id, error } of failed) note(`${id}: ${error.code}: ${oneLine(error.message)}`);
    print(`${done} ${succeeded.length}${failed.length === 0 ? "" : `, failed ${failed.length}`}`);
  }
  if (failed.length > 0) process.exitCode = EXIT.failed;
}
