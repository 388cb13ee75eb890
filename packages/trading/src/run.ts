// One process of the trading application: node run.js <role> [--index i --of n]
// The broker and the mesh come from PLEXUS_SERVERS and PLEXUS_MESH.
import { enableCompileCache } from "node:module";
import { parseArgs } from "node:util";

enableCompileCache();
const { connect } = await import("@plexus/mesh");
const { takeSeat } = await import("./agents/seat.ts");
const { Role } = await import("./run-plan.ts");

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    index: { type: "string", default: "0" },
    of: { type: "string", default: "1" },
  },
});
const role = Role.safeParse(positionals[0]);
if (!role.success) {
  process.stderr.write(
    `Usage: run.js <role> [--index i --of n]; roles: ${Role.options.join(", ")}\n`,
  );
  process.exit(2);
}
const seat = { role: role.data, index: Number(values.index), of: Number(values.of) };

// A Ctrl-C in the terminal reaches every process; it is the desk that decides how the run ends.
process.on("SIGINT", () => undefined);
const ended = new Promise((resolve) => process.once("SIGTERM", resolve));
const mesh = await connect({ name: `${seat.role}-${seat.index}` });
/** Whoever started this process starts another one, which reads what is stored and goes on from there. */
const failed = (error: unknown): void => {
  process.stderr.write(`${seat.role}-${seat.index} gives up: ${describe(error)}\n`);
  process.exit(1);
};
const seated = await takeSeat(mesh, seat, failed);
await ended;
await seated[Symbol.asyncDispose]();
await mesh.close();

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "code" in error ? `${String(error.code)}: ${error.message}` : String(error.stack);
}
