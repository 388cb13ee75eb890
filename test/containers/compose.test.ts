import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { connect } from "@plexus/mesh";
import { describe, expect, inject, test } from "vitest";
import { Analyst } from "../../deploy/agents/contract.ts";
import { silent } from "../support/mesh.ts";
import { startLoad } from "../support/load.ts";
import { freePort } from "./cluster.ts";
import { OWN } from "./leftovers.ts";

const images = inject("images");
const file = join(import.meta.dirname, "..", "..", "deploy", "compose.yaml");
const exec = promisify(execFile);
/** The plugin of the docker command, or the program of its own that it once was and that Debian still has. */
const tool = await Promise.any([
  exec("docker", ["compose", "version"]).then(() => ["docker", "compose"] as const),
  exec("docker-compose", ["version"]).then(() => ["docker-compose"] as const),
]).catch(() => undefined);
if (images && !tool) console.warn("docker compose is not installed: its test is skipped.");

describe.skipIf(!images || !tool)("deploy/compose.yaml", () => {
  test("brings up a cluster with agents that are scaled without a failed call", async () => {
    const port = await freePort();
    const env = {
      ...process.env,
      PLEXUS_IMAGE: images!.plexus,
      NATS_IMAGE: images!.nats,
      NATS_PORT: String(port),
    };
    const [program, ...args] = tool!;
    const compose = async (...more: string[]) =>
      (await exec(program, [...args, "-f", file, "-p", OWN, ...more], { env })).stdout;
    await using stack = new AsyncDisposableStack();
    stack.defer(async () => void (await compose("down", "--volumes", "--timeout", "0")));

    await compose("up", "--detach", "--no-build", "--scale", "agent=2");
    await using mesh = await connect({
      servers: `nats://127.0.0.1:${port}`,
      http: false,
      log: silent,
    });
    await mesh.waitFor(Analyst, { instances: 2, timeout: "20s" });
    const window = { symbol: "SPX", closes: [100, 104] };
    const score = { symbol: "SPX", change: expect.closeTo(0.04) };
    const said = await compose(
      "run",
      "--rm",
      "-T",
      "cli",
      "call",
      "analyst",
      "score",
      JSON.stringify(window),
      "--json",
    );
    expect(JSON.parse(said)).toEqual(score);

    await using load = startLoad([() => mesh.get(Analyst).score(window, { timeout: "20s" })]);
    await compose("up", "--detach", "--no-build", "--scale", "agent=4");
    await mesh.waitFor(Analyst, { instances: 4, timeout: "20s" });
    const task = await mesh.submit(Analyst, "study", window);
    await compose("up", "--detach", "--no-build", "--scale", "agent=1");
    await expect.poll(() => mesh.agents(Analyst).length, { timeout: 15_000 }).toBe(1);
    expect(await task.result()).toEqual(score);
    await load.stop();
    expect(load.failures).toEqual([]);
  }, 240_000);
});
