// One process of the crew: node run.js <agent> <plan as JSON>
// The broker and the mesh come from PLEXUS_SERVERS and PLEXUS_MESH; in a plain folder neither is needed.
import { enableCompileCache } from "node:module";

enableCompileCache();
const { CrewPlan } = await import("./plan.ts");
const { takeSeat } = await import("./agents/take-seat.ts");

const [agent, json] = process.argv.slice(2);
if (agent === undefined || json === undefined) {
  process.stderr.write("Usage: run.js <agent> <plan as JSON>\n");
  process.exit(2);
}
// A Ctrl-C in the terminal reaches every process; who started them decides how the run ends.
process.on("SIGINT", () => undefined);
const stop = new AbortController();
process.once("SIGTERM", () => stop.abort(new Error("asked to leave")));
try {
  await takeSeat(agent, CrewPlan.parse(JSON.parse(json)), stop.signal);
} catch (error) {
  if (!stop.signal.aborted) {
    process.stderr.write(`${agent} gives up: ${(error as Error).stack}\n`);
    process.exitCode = 1;
  }
}
