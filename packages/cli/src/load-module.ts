import { access } from "node:fs/promises";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { UsageError } from "./exit-codes.ts";

/** Loads a module of the user's. @throws UsageError that says why that is impossible, and where */
export async function loadModule(path: string): Promise<Record<string, unknown>> {
  try {
    return (await import(pathToFileURL(resolve(path)).href)) as Record<string, unknown>;
  } catch (error) {
    throw new UsageError(`${path} cannot be loaded: ${why(error)}`, { cause: error });
  }
}

export async function fileExists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}

/** What was thrown, with the place in a file if it has one: a module may throw anything. */
function why(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const place = /\bfile:\/\/\S+:\d+/.exec(error.stack ?? "")?.[0];
  const isOurs = place === undefined || place.startsWith(import.meta.url);
  return isOurs ? error.message : `${error.message} (${fileURLToPath(place)})`;
}
