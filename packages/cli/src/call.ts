import type { CallOptions, Mesh } from "@plexus/mesh";
import type { Command } from "commander";
import { meshCommand, nameArgument, withMesh, type MeshOptions } from "./mesh-options.ts";
import { print, printJson, toText } from "./output.ts";
import { readInput } from "./read-input.ts";

interface CallCommandOptions extends MeshOptions {
  readonly key?: string;
  readonly stream?: true;
}

/** `plexus call` */
export function callCommand(): Command {
  return meshCommand("call", "call a capability of an agent")
    .argument("<agent>", "name of the agent", nameArgument)
    .argument("<capability>", "name of the capability", nameArgument)
    .argument("[input]", "JSON, @file with JSON, or - for JSON on standard input")
    .option("--key <key>", "what the call is about; equal keys may go to one instance")
    .option("--stream", "show the chunks of a streaming capability as they come")
    .addHelpText(
      "after",
      '\nExample: plexus call analyst score \'{"symbol":"SPX","closes":[100,104]}\' --timeout 500ms\n\nWith --json: the result; with --stream too: a line {"chunk": …} for each chunk, then {"result": …}.\nbigint is printed as a decimal string, binary as base64, Date as ISO 8601.',
    )
    .action(
      async (
        agent: string,
        capability: string,
        argument: string | undefined,
        options: CallCommandOptions,
      ) => {
        const input = await readInput(argument);
        await withMesh(options, async (mesh, signal) => {
          const { key, timeout } = options;
          const call: CallOptions = {
            signal,
            ...(key === undefined ? {} : { key }),
            ...(timeout === undefined ? {} : { timeout }),
          };
          if (options.stream) await stream(mesh, agent, capability, input, call, options);
          else {
            const result = await mesh.invoke(agent, capability, input, call);
            if (options.json) printJson(result);
            else print(toText(result));
          }
        });
      },
    );
}

async function stream(
  mesh: Mesh,
  agent: string,
  capability: string,
  input: unknown,
  call: CallOptions,
  { json }: CallCommandOptions,
): Promise<void> {
  const chunks = mesh.invokeStream(agent, capability, input, call);
  let written = "";
  for await (const chunk of chunks) {
    if (json) printJson({ chunk });
    else if (typeof chunk === "string") {
      process.stdout.write(chunk);
      written += chunk;
    } else print(toText(chunk));
  }
  const result = await chunks.result;
  if (json) {
    printJson({ result });
    return;
  }
  if (written !== "" && !written.endsWith("\n")) print("");
  // A handler that returns nothing answers with the chunks joined: these have been shown.
  if (result !== undefined && result !== null && result !== written)
    print(`result: ${toText(result)}`);
}
