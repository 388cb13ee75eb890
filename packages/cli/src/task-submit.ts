import { MeshError, PRIORITIES, type Duration, type Priority } from "@plexus/core";
import type { InstanceReport, Mesh, SubmitOptions } from "@plexus/mesh";
import { InvalidArgumentError, Option, type Command } from "commander";
import { UsageError } from "./exit-codes.ts";
import { withFacts } from "./failure.ts";
import {
  durationArgument,
  meshCommand,
  nameArgument,
  withMesh,
  type MeshOptions,
} from "./mesh-options.ts";
import { note, print, printJson, toText } from "./output.ts";
import { readInput } from "./read-input.ts";

interface TaskSubmitOptions extends MeshOptions {
  readonly priority?: Priority;
  readonly key?: string;
  readonly delay?: Duration;
  readonly at?: Date;
  readonly deadline?: Duration;
  readonly tenant?: string;
  readonly wait?: true;
}

const FOREVER = "24d"; // about the longest that a timer can wait

/** `plexus task submit` */
export function taskSubmitCommand(): Command {
  return meshCommand("submit", "submit a task to a durable capability")
    .argument("<agent>", "name of the agent", nameArgument)
    .argument("<capability>", "name of the capability", nameArgument)
    .argument("[input]", "JSON, @file with JSON, or - for JSON on standard input")
    .addOption(
      new Option("--priority <priority>", "default: normal").choices(Object.keys(PRIORITIES)),
    )
    .option("--key <key>", "equal keys are one task, as long as its result is kept")
    .option("--delay <duration>", "not before this long from now", durationArgument)
    .option("--at <time>", "not before this time, such as 2026-01-31T09:30:00Z", timeArgument)
    .option("--deadline <duration>", "it must have ended this long from now", durationArgument)
    .option("--tenant <name>", "on whose behalf")
    .option("--wait", "wait for the result, at most for --timeout")
    .addHelpText(
      "after",
      '\nExample: plexus task submit desk settle \'{"id":"A7"}\' --key A7 --wait\n\nWith --json: {"task": id}; with --wait too: {"task": id, "result": …}, or {"task": id, "error": …}.',
    )
    .action(
      async (
        agent: string,
        capability: string,
        argument: string | undefined,
        options: TaskSubmitOptions,
      ) => {
        if (options.delay !== undefined && options.at !== undefined) {
          throw new UsageError("--delay and --at both say when: use one of them.");
        }
        const input = await readInput(argument);
        await withMesh(options, async (mesh, signal) => {
          await learn(mesh, agent, capability);
          const task = await mesh.submitByName(agent, capability, input, submission(options));
          if (!options.wait) {
            if (options.json) printJson({ task: task.id });
            else print(task.id);
            return;
          }
          if (!options.json) note(`task ${task.id}`); // for whoever does not wait to the end
          const timeout = options.timeout ?? FOREVER;
          const result = await task.result({ signal, timeout }).catch((error: unknown) => {
            throw withFacts(error, { task: task.id });
          });
          if (options.json) printJson({ task: task.id, result });
          else print(toText(result));
        });
      },
    );
}

function submission(options: TaskSubmitOptions): SubmitOptions {
  const { priority, key, delay, at, deadline, tenant, timeout, wait } = options;
  return {
    ...(priority === undefined ? {} : { priority }),
    ...(key === undefined ? {} : { key }),
    ...(delay === undefined ? {} : { delay }),
    ...(at === undefined ? {} : { at }),
    ...(deadline === undefined ? {} : { deadline }),
    ...(tenant === undefined ? {} : { tenant }),
    ...(timeout === undefined || wait ? {} : { timeout }),
  };
}

/**
 * Asks an instance whether the capability can be submitted: a task for one that nobody offers would wait for ever. When
 * there is no instance to ask it may come later, and the task waits for it.
 */
async function learn(mesh: Mesh, agent: string, capability: string): Promise<void> {
  const instances = mesh.agents(agent);
  const offering = instances.filter(({ capabilities }) => capabilities.includes(capability));
  if (instances.length > 0 && offering.length === 0) {
    throw new MeshError("NO_CAPABILITY", `Agent ${agent} has no capability ${capability}.`);
  }
  for (const { instance } of offering) {
    let report: InstanceReport;
    try {
      // The next one only if this one does not answer.
      report = await mesh.inspect(instance);
    } catch {
      continue; // it is just leaving, perhaps
    }
    if (report.description.capabilities[capability]?.durable) return;
    throw new MeshError(
      "INVALID_CONTRACT",
      `${agent}.${capability} is not durable, so it cannot be submitted. Use \`plexus call\`.`,
    );
  }
  note(
    `plexus: no instance of agent ${agent} answers in mesh ${mesh.mesh}; the task waits for one.`,
  );
}

function timeArgument(text: string): Date {
  const time = Date.parse(text);
  if (Number.isNaN(time))
    throw new InvalidArgumentError("Use a time such as 2026-01-31T09:30:00Z.");
  return new Date(time);
}
