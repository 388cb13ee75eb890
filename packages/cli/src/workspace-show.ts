import type { StoredCommit } from "@plexus/mesh";
import type { Command } from "commander";
import { countArgument } from "./mesh-options.ts";
import { harmless, oneLine, paint, print, printJson, table, uptime } from "./output.ts";
import {
  listedBy,
  onWorkspace,
  short,
  versionArgument,
  withWorkspace,
  type WorkspaceCommandOptions,
} from "./workspace-open.ts";

const MAX_PATHS = 20; // of one commit
const FILES = ["PATH", "SIZE", "VERSION", "HASH"];
const LINES = ["VERSION", "BY", "LINE", "TEXT"];

/** `plexus workspace ls` */
export function listCommand(): Command {
  return onWorkspace("ls", "list the files of a workspace, now or at a version")
    .argument("[prefix]", "only paths that begin so")
    .option("--at <version>", "as of this version", versionArgument)
    .action(
      (
        name: string,
        prefix: string | undefined,
        options: WorkspaceCommandOptions & { at?: number },
      ) =>
        withWorkspace(options, name, async (repo) => {
          const tree = await listedBy("log", name, repo.at(options.at));
          const files = await tree.list(prefix);
          if (options.json) printJson({ version: tree.version, files });
          else if (tree.version === 0) print(`Nothing was ever committed to ${name}.`);
          else if (files.length === 0)
            print(`No such files in ${name} at version ${tree.version}.`);
          else {
            const rows = files.map(({ path, size, version, hash }) => [
              paint("bold", path),
              String(size),
              String(version),
              short(hash),
            ]);
            for (const line of table(FILES, rows)) print(line);
          }
        }),
    );
}

/** `plexus workspace log` */
export function logCommand(): Command {
  return onWorkspace("log", "show the last commits, of the workspace or of one file")
    .argument("[path]", "only those that changed this file")
    .option("-n, --limit <n>", "so many (default: 20)", countArgument)
    .action(
      (
        name: string,
        path: string | undefined,
        options: WorkspaceCommandOptions & { limit?: number },
      ) =>
        withWorkspace(options, name, async (repo) => {
          const { limit = 20 } = options;
          const commits = await repo.log({ limit, ...(path === undefined ? {} : { path }) });
          if (options.json) printJson(commits);
          else if (commits.length === 0) print(`No commits in ${path ?? name}.`);
          else for (const commit of commits) tell(commit);
        }),
    );
}

/** `plexus workspace blame` */
export function blameCommand(): Command {
  return onWorkspace("blame", "show who made each line of a file what it is")
    .argument("<path>", "which file")
    .action((name: string, path: string, options: WorkspaceCommandOptions) =>
      withWorkspace(options, name, async (repo) => {
        const lines = await repo.blame(path);
        if (options.json) {
          printJson(lines);
          return;
        }
        const rows = lines.map(({ version, by, line, text }) => [
          String(version),
          oneLine(by),
          String(line),
          harmless(text),
        ]);
        for (const line of table(LINES, rows)) print(line);
      }),
    );
}

/** `plexus workspace diff` */
export function diffCommand(): Command {
  return onWorkspace("diff", "show what changed between two versions")
    .argument("<from>", "a version", versionArgument)
    .argument("[to]", "a version (default: the newest)", versionArgument)
    .option("--path <path>", "only this file")
    .action(
      (
        name: string,
        from: number,
        to: number | undefined,
        options: WorkspaceCommandOptions & { path?: string },
      ) =>
        withWorkspace(options, name, async (repo) => {
          const last = to ?? (await repo.head());
          const files = await listedBy("log", name, repo.diff(from, last, options.path));
          if (options.json) printJson(files);
          else
            for (const { diff } of files)
              for (const line of harmless(diff).trimEnd().split("\n")) tint(line);
        }),
    );
}

function tell({
  version,
  by,
  message,
  storedAt,
  id,
  changes,
  conflict,
  intent,
}: StoredCommit): void {
  const age = uptime((Date.now() - storedAt) / 1_000);
  const through = conflict === undefined ? "" : paint("yellow", `  through conflict ${conflict}`);
  print(
    `${paint("yellow", String(version))}  ${paint("bold", oneLine(by))}  ${age} ago  ${oneLine(message)}${through}`,
  );
  if (intent !== undefined) print(`   ${paint("dim", oneLine(intent))}`);
  const sorted = changes.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  for (const { path, hash, before } of sorted.slice(0, MAX_PATHS)) {
    const mark = hash === undefined ? "-" : before.hash === undefined ? "+" : "~";
    print(`   ${mark} ${path}`);
  }
  if (sorted.length > MAX_PATHS) print(`   and ${sorted.length - MAX_PATHS} more`);
  print(`   ${paint("dim", oneLine(id))}`);
}

function tint(line: string): void {
  if (line.startsWith("+")) print(paint("green", line));
  else if (line.startsWith("-")) print(paint("red", line));
  else if (line.startsWith("@@")) print(paint("cyan", line));
  else print(line);
}
