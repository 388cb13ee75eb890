import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { UsageError } from "./exit-codes.ts";

/** The value of an argument that is JSON, `@file` with JSON, or `-` for JSON on standard input; undefined without one. */
export async function readInput(argument: string | undefined): Promise<unknown> {
  if (argument === undefined) return undefined;
  let json = argument;
  if (argument === "-") json = await text(process.stdin);
  else if (argument.startsWith("@")) {
    json = await readFile(argument.slice(1), "utf8").catch((error: Error) => {
      throw new UsageError(`The input file cannot be read: ${error.message}.`);
    });
  }
  try {
    return JSON.parse(json) as unknown;
  } catch (error) {
    const why = (error as Error).message;
    throw new UsageError(`The input is no JSON (${why}). Text is JSON in double quotes: '"text"'.`);
  }
}
