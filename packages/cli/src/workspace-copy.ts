import { mkdir, readdir } from "node:fs/promises";
import { resolve } from "node:path";
import { checkoutTree, exportToGit, importTree, type StrategyOption } from "@plexus/mesh";
import { MeshError, STRATEGIES, toMs, type Duration, type StrategyName } from "@plexus/core";
import { Option, type Command } from "commander";
import { UsageError } from "./exit-codes.ts";
import { fired } from "./interrupt.ts";
import { meshCommand, withMesh, type MeshOptions } from "./mesh-options.ts";
import { note, print, printJson } from "./output.ts";
import {
  listedBy,
  onWorkspace,
  versionArgument,
  withWorkspace,
  type WorkspaceCommandOptions,
} from "./workspace-open.ts";

interface CheckoutOptions extends WorkspaceCommandOptions {
  readonly at?: number;
  readonly force?: true;
  readonly git?: true;
}

interface ImportCommandOptions extends WorkspaceCommandOptions {
  readonly message?: string;
  readonly prune?: true;
  readonly resolve?: StrategyName;
}

/** `plexus workspace checkout` */
export function checkoutCommand(): Command {
  return onWorkspace(
    "checkout",
    "write a version into a directory, or all of history into a git repository",
  )
    .argument("<directory>", "where to; made if it is not there")
    .option("--at <version>", "this version (default: the newest)", versionArgument)
    .option("--force", "overwrite what was changed there, or is in the way")
    .option(
      "--git",
      "as commits of git, each with its agent as the author; what is there already is not added again",
    )
    .addHelpText(
      "after",
      "\nNothing is removed that an earlier checkout has not written. Exit code 1 if something would be overwritten.",
    )
    .action((name: string, directory: string, options: CheckoutOptions) => {
      if (options.git && options.force)
        throw new UsageError("--git overwrites nothing: leave out --force.");
      return withWorkspace(options, name, async (repo) => {
        await mkdir(directory, { recursive: true });
        if (options.git) {
          const done = await exportToGit(
            repo,
            directory,
            options.at === undefined ? {} : { to: options.at },
          );
          if (options.json) printJson(done);
          else
            print(
              `${done.commits} commits added; ${done.branch} in ${resolve(directory)} is at version ${done.version}.`,
            );
          return;
        }
        const tree = await listedBy("log", name, repo.at(options.at));
        const done = await checkoutTree(name, tree, directory, { force: options.force === true });
        const { version, written, removed, unchanged } = done;
        if (options.json) printJson(done);
        else
          print(
            `Version ${version}: ${written.length} files written, ${removed.length} removed, ${unchanged} as they were.`,
          );
      });
    });
}

/** `plexus workspace import` */
export function importCommand(): Command {
  return onWorkspace(
    "import",
    "commit what has changed in a directory, or in the work tree of a git repository",
  )
    .argument("<directory>", "where from")
    .option("-m, --message <text>", "why")
    .option("--agent <name>", "in whose name (default: $USER)")
    .option(
      "--prune",
      "also remove what is not there; what a checkout or an earlier import had there always is",
    )
    .addOption(
      new Option("--resolve <strategy>", "how conflicts are decided").choices(
        STRATEGIES.filter((one) => one !== "vote" && one !== "semantic"), // nobody here could decide
      ),
    )
    .addHelpText(
      "after",
      "\nA checkout and an import write down in .plexus/ what the directory holds: the next import commits what has changed since.\nWithout that, it overwrites no file that differs: CONFLICT.",
    )
    .action(async (name: string, directory: string, options: ImportCommandOptions) => {
      await demandDirectory(directory);
      await withWorkspace(options, name, async (repo, signal) => {
        const { message, prune, resolve: strategy, timeout } = options;
        const waiting: string[] = [];
        const ended = timeout === undefined ? signal : timedOut(signal, timeout, waiting);
        const done = await importTree(repo, directory, {
          signal: ended,
          onConflict: ({ id }) => {
            waiting.push(id);
            note(
              `Waits as conflict ${id}: decide with \`plexus workspace resolve ${name} ${id}\`.`,
            );
          },
          prune: prune === true,
          ...(message === undefined ? {} : { message }),
          ...(strategy === undefined ? {} : { resolve: strategy as StrategyOption }),
        }).catch((error: unknown) => {
          throw signal.aborted || !ended.aborted ? error : ended.reason;
        });
        if (options.json) printJson(done);
        else
          print(
            `${done.written.length} files written, ${done.removed.length} removed; ${name} is at version ${done.version}.`,
          );
      });
    });
}

/** Throws a usage error if there is no directory that can be read. */
async function demandDirectory(directory: string): Promise<void> {
  await readdir(directory).catch((error: unknown) => {
    const text = `The directory ${directory} cannot be read: ${(error as Error).message}.`;
    throw new UsageError(text, { cause: error });
  });
}

/** Fires at Ctrl-C, or when somebody should have decided by now. */
function timedOut(signal: AbortSignal, timeout: Duration, waiting: readonly string[]): AbortSignal {
  const late = new AbortController();
  setTimeout(() => {
    const still = waiting.length === 0 ? "" : ` Conflict ${waiting.at(-1)} stays open.`;
    late.abort(new MeshError("TIMEOUT", `Not committed within ${toMs(timeout)} ms.${still}`));
  }, toMs(timeout)).unref();
  return AbortSignal.any([signal, late.signal]);
}

/** `plexus workspace serve` */
export function serveCommand(): Command {
  return meshCommand(
    "serve",
    "host the workspaces of a mesh until Ctrl-C; several share them, and stand in for each other",
  ).action((options: MeshOptions) =>
    withMesh(options, async (mesh, signal) => {
      await using hosted = await mesh.hostWorkspaces();
      if (options.json) printJson({ instance: hosted.info.instance });
      else print(`${hosted.info.instance} hosts workspaces of mesh ${mesh.mesh}. Ctrl-C ends it.`);
      await fired(signal);
    }),
  );
}
