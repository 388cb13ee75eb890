import { readdirSync, statSync, watch, type FSWatcher } from "node:fs";
import { extname, join, sep } from "node:path";

const QUIET_MS = 150;
const SOURCES = new Set([".ts", ".mts", ".cts", ".js", ".mjs", ".cjs", ".json"]);
const SKIPPED = new Set(["node_modules", "dist", "coverage"]);

/**
 * Tells which source files below a folder changed, once it has been quiet for 150 ms. Leaves out node_modules, build
 * output and hidden folders, which Node's own recursive watch cannot.
 * @returns ends it
 */
export function watchFolder(
  folder: string,
  changed: (files: readonly string[]) => void,
): () => void {
  const watchers = new Map<string, FSWatcher>();
  const files = new Set<string>();
  let quiet: NodeJS.Timeout | undefined;
  let begun = false;

  const tell = (): void => {
    const found = [...files];
    files.clear();
    changed(found);
  };
  const notice = (path: string): void => {
    if (isFolder(path)) followIfThere(path);
    else forget(path); // if it was one, a new folder of that name needs a new watcher
    if (!SOURCES.has(extname(path))) return;
    files.add(path);
    clearTimeout(quiet);
    quiet = setTimeout(tell, QUIET_MS);
  };
  const forget = (path: string): void => {
    for (const [watched, watcher] of watchers) {
      if (watched !== path && !watched.startsWith(path + sep)) continue;
      watcher.close();
      watchers.delete(watched);
    }
  };
  const follow = (path: string): void => {
    if (watchers.has(path)) return;
    const watcher = watch(path, (_type, name) => {
      if (name !== null && isWatched(name)) notice(join(path, name));
    });
    watcher.on("error", () => forget(path)); // the folder is gone
    watchers.set(path, watcher);
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (!isWatched(entry.name)) continue;
      if (entry.isDirectory()) follow(join(path, entry.name));
      else if (begun) notice(join(path, entry.name)); // came with its folder, before that was watched
    }
  };
  const followIfThere = (path: string): void => {
    try {
      follow(path);
    } catch {
      forget(path); // gone again meanwhile, or one more than the system watches
    }
  };

  follow(folder);
  begun = true;
  return () => {
    clearTimeout(quiet);
    for (const watcher of watchers.values()) watcher.close();
  };
}

function isWatched(name: string): boolean {
  return !name.startsWith(".") && !SKIPPED.has(name);
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
