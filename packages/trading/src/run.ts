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
const seated = await takeSeat(mesh, seat);
await ended;
await seated[Symbol.asyncDispose]();
await mesh.close();
