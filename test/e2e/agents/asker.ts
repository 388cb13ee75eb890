// Asks models as it is told to, as the agent of the name given. PLEXUS_TEST_MODELS: the options of openModels(), as JSON.
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";
import { isMeshError } from "@plexus/core";
import { openModels, type ModelsOptions } from "@plexus/llm";
import { connect, shutdownSignal } from "@plexus/mesh";
import { asker } from "./contracts.ts";

const options = JSON.parse(process.env["PLEXUS_TEST_MODELS"]!) as ModelsOptions;

await using mesh = await connect({ name: "asker" });
await using llm = await openModels({ ...options, fleet: mesh });
await using hosted = await mesh.host(asker(process.argv[2]!), {
  async ask({ calls, lanes, pause, ask, tell }) {
    const outcomes: Record<string, number> = {};
    let costUsd = 0;
    const began = performance.now();
    const slowest: number[] = [];
    let left = calls;
    const lane = async (): Promise<void> => {
      while (left-- > 0) {
        const started = performance.now();
        let outcome = "ok";
        try {
          const answer = await llm.generate("desk", ask, { confirm: tell });
          costUsd += answer.costUsd;
          if (tell) console.log(`charged ${answer.costUsd}`);
        } catch (error) {
          outcome = isMeshError(error) ? error.code : String(error);
          // Calls that fail at once must not starve everything else.
          await turn();
        }
        slowest.push(performance.now() - started);
        if (pause > 0) await sleep(pause);
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    slowest.sort((a, b) => a - b);
    const p99 = slowest[Math.floor(slowest.length * 0.99)] ?? 0;
    return { outcomes, costUsd, ms: performance.now() - began, p99 };
  },
});
console.log(`ready ${hosted.info.instance}`);
await shutdownSignal();
