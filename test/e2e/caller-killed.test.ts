import { expect, test } from "vitest";
import { useMeshes } from "../support/mesh.ts";
import { startAgent, startWorkers } from "../support/workers.ts";

const meshes = useMeshes();

test.each(["hold", "count"])(
  "a caller that is killed has its %s canceled, long before its timeout",
  async (what) => {
    await using workers = await startWorkers(meshes, 1);
    await using caller = startAgent(meshes, "caller", [what]);
    await workers.first.process.waitForLine(`began ${what}`);
    await caller.kill();
    const killed = performance.now();
    await workers.first.process.waitForLine(`canceled ${what}`);
    if (what === "count") await workers.first.process.waitForLine("ended count");
    expect(performance.now() - killed).toBeLessThan(5_000);
  },
);
