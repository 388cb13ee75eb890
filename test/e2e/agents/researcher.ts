// Executes tool loops as durable tasks, and kills itself where a task's input says, the first time. PLEXUS_TEST_MODELS: the
// options of openModels(); PLEXUS_TEST_DEATHS: a folder in which each death leaves a file.
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openModels, tool, type ModelsOptions } from "@plexus/llm";
import { connect, shutdownSignal } from "@plexus/mesh";
import { z } from "zod";
import { Researcher } from "./contracts.ts";

const options = JSON.parse(process.env["PLEXUS_TEST_MODELS"]!) as ModelsOptions;
const deaths = process.env["PLEXUS_TEST_DEATHS"]!;

/** Dies like a process that is out of memory: at once, telling nobody. */
function die(name: string): void {
  const file = join(deaths, name);
  if (existsSync(file)) return;
  writeFileSync(file, "");
  process.kill(process.pid, "SIGKILL");
}

await using mesh = await connect({ name: "researcher" });
await using llm = await openModels({ ...options, fleet: mesh });
await using hosted = await mesh.host(
  Researcher,
  {
    async research({ name, dieAt }, context) {
      let step = 0;
      const at = (place: string): void => {
        if (dieAt === `${place} ${step}`) die(name);
      };
      const look = tool("look", {
        description: "Looks something up",
        input: z.object({ step: z.number() }),
        run: (input) => {
          step = input.step;
          at("tool");
          return `result ${input.step}`;
        },
      });
      const { text, steps } = await llm.run(
        "desk",
        { prompt: `Research ${name}`, tools: [look] },
        {
          effects: context,
          maxSteps: 12,
          onStep: (event) => {
            step = event.step;
            at(event.type);
          },
        },
      );
      return { text, steps };
    },
  },
  { concurrency: 1 },
);
console.log(`ready ${hosted.info.instance}`);
await shutdownSignal();
