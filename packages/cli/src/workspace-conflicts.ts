import { readFile } from "node:fs/promises";
import { MeshError } from "@plexus/core";
import type { Workspace, WorkspaceConflict } from "@plexus/mesh";
import type { Command } from "commander";
import { UsageError } from "./exit-codes.ts";
import { oneLine, paint, print, printJson, table } from "./output.ts";
import {
  listedBy,
  onWorkspace,
  short,
  withWorkspace,
  type WorkspaceCommandOptions,
} from "./workspace-open.ts";

interface ResolveOptions extends WorkspaceCommandOptions {
  readonly ours?: true;
  readonly theirs?: true;
  readonly merged?: true;
  readonly file?: readonly string[];
}

const CONFLICTS = ["CONFLICT", "BY", "STRATEGY", "PATHS", "THEIRS", "MESSAGE"];

/** `plexus workspace conflicts` */
export function conflictsCommand(): Command {
  return onWorkspace(
    "conflicts",
    "show the conflicts that wait for agents or a person, or one of any",
  )
    .argument("[conflict]", "which one, decided ones included: everything about it")
    .action((name: string, id: string | undefined, options: WorkspaceCommandOptions) =>
      withWorkspace(options, name, async (repo) => {
        if (id === undefined) await list(repo, options);
        else await explain(await listedBy("conflicts", name, repo.conflict(id)), options);
      }),
    );
}

/** `plexus workspace resolve` */
export function resolveCommand(): Command {
  return onWorkspace("resolve", "decide a conflict that waits")
    .argument("<conflict>", "which one")
    .option("--ours", "what the waiting commit wants")
    .option("--theirs", "what is there: the commit is refused")
    .option("--merged", "the merge of the lines, where it is clean")
    .option(
      "--file <path=file...>",
      "for a path, what a file holds; of a single path, the file alone",
    )
    .option("--agent <name>", "in whose name (default: $USER)")
    .addHelpText(
      "after",
      "\nWhat is decided is what `conflicts <workspace> <conflict>` shows. If more has come since, it stays open: exit code 1.",
    )
    .action((name: string, id: string, options: ResolveOptions) => {
      const { ours, theirs, merged, file } = options;
      if ([ours, theirs, merged, file].filter((one) => one !== undefined).length !== 1) {
        throw new UsageError("Use one of --ours, --theirs, --merged and --file.");
      }
      return withWorkspace(options, name, async (repo) => {
        const conflict = await listedBy("conflicts", name, repo.conflict(id));
        const winner = ours ? "ours" : theirs ? "theirs" : merged ? "merged" : undefined;
        const decision = winner ?? { files: await filesOf(conflict, file!) };
        const outcome = await listedBy("conflicts", name, repo.resolve(conflict, decision));
        if (outcome === "open") {
          const text = `Conflict ${id} is still open: more has been committed since. Look at it again.`;
          throw new MeshError("CONFLICT", text);
        }
        if (options.json) printJson({ conflict: id, outcome });
        else print(`${id}: the commit of ${conflict.by} is ${outcome}.`);
      });
    });
}

async function filesOf(
  { clashes }: WorkspaceConflict,
  options: readonly string[],
): Promise<Record<string, Uint8Array>> {
  const files: Record<string, Uint8Array> = {};
  for (const option of options) {
    const at = option.indexOf("=");
    const alone = at < 0 && clashes.length === 1;
    if (at < 0 && !alone)
      throw new UsageError(`--file ${option}: which path is that of? Use path=file.`);
    const path = alone ? clashes[0]!.path : option.slice(0, at);
    if (!clashes.some((clash) => clash.path === path)) {
      throw new UsageError(`--file: ${path} is not in conflict.`);
    }
    files[path] = await readFile(option.slice(at + 1)).catch((error: unknown) => {
      throw new UsageError(`--file ${option}: ${(error as Error).message}`, { cause: error });
    });
  }
  return files;
}

async function list(repo: Workspace, options: WorkspaceCommandOptions): Promise<void> {
  const open = await repo.conflicts();
  if (options.json) {
    printJson(open);
    return;
  }
  if (open.length === 0) {
    print(`No open conflicts in ${repo.name}.`);
    return;
  }
  const rows = open.map(({ id, by, message, clashes }) => [
    paint("bold", id),
    oneLine(by),
    clashes[0]!.strategy.strategy,
    clashes.map(({ path }) => path).join(" "),
    oneLine(
      [...new Set(clashes.flatMap(({ theirs }) => theirs.commits.map((one) => one.by)))].join(" "),
    ),
    oneLine(message),
  ]);
  for (const line of table(CONFLICTS, rows)) print(line);
}

async function explain(
  conflict: WorkspaceConflict,
  options: WorkspaceCommandOptions,
): Promise<void> {
  if (options.json) {
    printJson(conflict);
    return;
  }
  const { id, by, message, commit, clashes, resolved } = conflict;
  print(
    `${paint("bold", id)}  ${oneLine(by)} wants to commit: ${oneLine(message)}  ${paint("dim", commit)}`,
  );
  for (const { path, kind, strategy, base, theirs, ours } of clashes) {
    print("");
    print(`${paint("bold", path)}  ${kind}, strategy ${strategy.strategy}`);
    print(`  base    version ${base.version}  ${short(base.hash)}`);
    print(`  ours    ${oneLine(by)}  ${short(ours.hash)}`);
    print(`  theirs  version ${theirs.version}  ${short(theirs.hash)}`);
    for (const one of theirs.commits) {
      const why = `${one.by}: ${one.message}${one.intent ? ` (${one.intent})` : ""}`;
      print(`          ${one.version}  ${oneLine(why)}`);
    }
    if (theirs.more !== undefined) print(`          and ${theirs.more} before`);
  }
  print("");
  if (resolved === undefined) print(paint("yellow", "Open."));
  else {
    const winners = resolved.decisions.map(({ path, winner }) => `${path}: ${winner}`).join(", ");
    const version = resolved.version === undefined ? "" : ` as version ${resolved.version}`;
    print(`Decided by ${oneLine(resolved.by)}: ${resolved.outcome}${version}; ${winners}.`);
    for (const ballot of resolved.ballots ?? [])
      print(`  ${oneLine(ballot.by)}: ${ballot.ranking.join(" > ")}`);
  }
}
