import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startBroker, type NodeProcess } from "@plexus/testing";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { isAlive, plexus, startPlexus } from "../support/cli.ts";

const fixtures = join(import.meta.dirname, "fixtures");

/** An event of `plexus dev --json`. */
interface DevEvent {
  readonly event: string;
  readonly process?: string;
  readonly pid?: number;
  readonly url?: string;
  readonly line?: string;
  readonly attempt?: number;
  readonly inMs?: number;
}

vi.setConfig({ testTimeout: 60_000 }); // each starts several processes, and the machine may be busy

let folder: string;
let dev: NodeProcess | undefined;

// Inside the repository, so that the copies find the workspaces' packages.
beforeEach(() => {
  folder = mkdtempSync(join(import.meta.dirname, ".cli-dev-"));
  cpSync(fixtures, folder, { recursive: true });
});

afterEach(async () => {
  await dev?.[Symbol.asyncDispose]();
  dev = undefined;
  rmSync(folder, { recursive: true, force: true });
});

function start(...args: string[]): NodeProcess {
  dev = startPlexus(["dev", join(folder, "mesh.ts"), "--port", "0", ...args]);
  return dev;
}

/** Follows the events of `--json`. */
function follow(process: NodeProcess) {
  const events: DevEvent[] = [];
  const reading = (async () => {
    for await (const line of process.lines()) events.push(JSON.parse(line) as DevEvent);
  })();
  const count = (event: string, name?: string): number =>
    events.filter((seen) => seen.event === event && (name === undefined || seen.process === name))
      .length;
  const seen = (event: string, times: number, name?: string): Promise<void> =>
    vi.waitFor(() => expect(count(event, name)).toBeGreaterThanOrEqual(times), {
      timeout: 30_000,
      interval: 20,
    });
  const pids = (): number[] => events.flatMap(({ pid }) => pid ?? []);
  return { events, count, seen, pids, reading };
}

async function call(url: string, ...args: string[]): Promise<unknown> {
  const { stdout } = await plexus(["--server", url, "--mesh", "office", "call", ...args, "--json"]);
  return JSON.parse(stdout);
}

it("runs every replica on a broker of its own, and drains them on Ctrl-C", async () => {
  const process = start("--json");
  const { events, seen, pids, reading } = follow(process);
  await seen("ready", 3);
  const { url } = events.find(({ event }) => event === "broker")!;
  expect(await call(url!, "greeter", "greet", '{"name":"Ada"}')).toMatchObject({
    text: "Good day, Ada",
    by: expect.stringMatching(/^greeter-[12]$/) as string,
  });
  expect(await process.kill("SIGINT")).toEqual({ code: 130, signal: null });
  await reading;
  expect(events.filter(({ event }) => event === "stopped")).toEqual(
    Array.from({ length: 3 }, () => expect.objectContaining({ code: 0 }) as unknown),
  );
  expect(events.filter(({ line }) => line === "draining")).toHaveLength(2);
  expect(pids().filter(isAlive)).toEqual([]);
  expect((await plexus(["--server", url!, "--timeout", "100ms", "agents", "ls"])).code).toBe(4);
});

it("starts a crashed process again, later each time", async () => {
  const process = start("--json");
  const { events, seen } = follow(process);
  await seen("ready", 1, "clerk");
  const { url } = events.find(({ event }) => event === "broker")!;
  for (const attempt of [1, 2]) {
    // A crash for each attempt.
    expect(await call(url!, "clerk", "crash", "{}")).toMatchObject({
      error: { code: "AGENT_LOST" },
    });
    await seen("ready", attempt + 1, "clerk");
  }
  expect(events.filter(({ event }) => event === "crashed")).toMatchObject([
    { code: 7 },
    { code: 7 },
  ]);
  const restarts = events.filter(({ event }) => event === "restarting");
  expect(restarts.map(({ attempt, inMs }) => [attempt, inMs])).toEqual([
    [1, 250],
    [2, 500],
  ]);
});

it("reloads the agents of a folder that changes, replicas one after the other", async () => {
  const process = start("--json");
  const { events, seen } = follow(process);
  await seen("ready", 3);
  const { url } = events.find(({ event }) => event === "broker")!;
  writeFileSync(join(folder, "mesh.ts"), `// changed\nexport default {};\n`);
  await seen("mesh-file-changed", 1);
  expect(events.some(({ event }) => event === "reloading")).toBe(false);
  const contracts = join(folder, "contracts.ts");
  cpSync(join(fixtures, "contracts.ts"), contracts);
  await seen("ready", 6);
  const order = events
    .filter(
      ({ event, process: name }) =>
        name?.startsWith("greeter") && ["stopped", "ready"].includes(event),
    )
    .slice(2)
    .map(({ event, process: name }) => `${event} ${name}`);
  expect(order).toEqual([
    "stopped greeter-1",
    "ready greeter-1",
    "stopped greeter-2",
    "ready greeter-2",
  ]);
  expect(events.some(({ event }) => event === "crashed")).toBe(false);
  expect(await call(url!, "greeter", "greet", '{"name":"Bo"}')).toMatchObject({
    text: "Good day, Bo",
  });
});

it("knows a process by its pid when its module gives itself a name", async () => {
  const clerk = join(folder, "clerk.ts");
  const text = readFileSync(clerk, "utf8");
  writeFileSync(clerk, text.replace("connect()", 'connect({ name: "scribe" })'));
  const { events, seen } = follow(start("--json"));
  await seen("ready", 1, "clerk");
  const { url } = events.find(({ event }) => event === "broker")!;
  const { stdout } = await plexus(["--server", url!, "--mesh", "office", "agents", "ls", "--json"]);
  expect(JSON.parse(stdout)).toContainEqual(
    expect.objectContaining({ agent: "clerk", name: "scribe" }),
  );
});

it("leaves nothing behind when it is killed", async () => {
  const process = start("--json");
  const { events, seen, pids } = follow(process);
  await seen("ready", 3);
  expect(pids()).toHaveLength(3);
  const { url } = events.find(({ event }) => event === "broker")!;
  await process.kill("SIGKILL");
  await vi.waitFor(() => expect(pids().filter(isAlive)).toEqual([]), 15_000);
  await vi.waitFor(async () => {
    expect((await plexus(["--server", url!, "--timeout", "100ms", "agents", "ls"])).code).toBe(4);
  }, 90_000);
});

it("prefixes each line with its process for a person", async () => {
  await using broker = await startBroker();
  const process = start("--server", broker.url, "--mesh", "other");
  await process.waitForLine(`plexus    │ mesh other on the broker at ${broker.url}`, 30_000);
  await process.waitForLine(/^greeter-2 │ ready as greeter-2-\w+-1$/, 30_000);
  await process.waitForLine(/^clerk {5}│ hosting clerk-\w+-1$/, 30_000);
  const { stdout } = await plexus([
    "--server",
    broker.url,
    "--mesh",
    "other",
    "agents",
    "ls",
    "--json",
  ]);
  expect(JSON.parse(stdout)).toBeInstanceOf(Array);
  expect((await process.kill("SIGTERM")).code).toBe(130);
  expect(process.stderr()).toContain("stopping: processes drain first");
  expect(
    (await plexus(["agents", "ls", "--server", broker.url, "--mesh", "other"])).stdout,
  ).toMatch(/^No agents/);
});

it("says once what a process says before each crash", async () => {
  const stack = 'throw new Error("no luck");\n';
  writeFileSync(join(folder, "greeter.ts"), stack);
  const process = start();
  await process.waitForLine(/^greeter-1 │ crashed: exit code 1$/, 30_000);
  await process.waitForLine(
    /^greeter-1 │ crashed: exit code 1, with the same words as before$/,
    90_000,
  );
  await process.waitForLine(/^greeter-1 │ starts again in 1000 ms/, 30_000);
  const lines: string[] = [];
  const reading = (async () => {
    for await (const line of process.lines()) lines.push(line);
  })();
  await process.kill("SIGINT");
  await reading;
  const ofOne = lines.filter((line) => line.startsWith("greeter-1"));
  expect(ofOne.filter((line) => line.includes("Error: no luck"))).toHaveLength(1);
  expect(ofOne.filter((line) => line.includes("crashed")).length).toBeGreaterThanOrEqual(3);
});

it("serves the graphs of a module that exports some", async () => {
  writeFileSync(
    join(folder, "mesh.ts"),
    `export default { mesh: "office", agents: { desk: { module: "./graphs.ts", graphs: true } } };`,
  );
  const process = start("--json");
  const { events, seen } = follow(process);
  await seen("ready", 3, "desk"); // an agent for each of its graphs
  const { url } = events.find(({ event }) => event === "broker")!;
  const office = ["--server", url!, "--mesh", "office"];
  const { stdout } = await plexus(["workflow", "run", "pair", "--thread", "t", ...office]);
  expect(stdout).toContain(`--interrupt 1:0 --answer <answer> ${office.join(" ")}\n`);
  expect(await process.kill("SIGINT")).toEqual({ code: 130, signal: null });
});

it("hands the credentials in --server on to the agents, and shows them to nobody", async () => {
  const authorization = { user: "ops", password: "se cret" };
  await using broker = await startBroker({ config: { authorization } });
  const server = `nats://ops:se%20cret@127.0.0.1:${broker.port}`;
  const process = start("--server", server, "--mesh", "other");
  await process.waitForLine(`plexus    │ mesh other on the broker at ${broker.url}`, 30_000);
  await process.waitForLine(/^greeter-2 │ ready as/, 30_000);
  const lines: string[] = [];
  const reading = (async () => {
    for await (const line of process.lines()) lines.push(line);
  })();
  await process.kill("SIGINT");
  await reading;
  expect([...lines, process.stderr()].join("\n")).not.toMatch(/se.{1,3}cret/);
});

it("refuses a mesh file that makes no sense, and a broker that is not there", async () => {
  const file = join(folder, "wrong.ts");
  writeFileSync(
    file,
    `export default { agents: { a: { module: "./greeter.ts", replicas: "two" } } };`,
  );
  const wrong = await plexus(["dev", file]);
  expect(wrong).toMatchObject({ code: 2, stdout: "" });
  expect(wrong.stderr).toMatch(/^plexus dev: USAGE: .*agents\.a\.replicas: .*number/);
  expect((await plexus(["dev", join(folder, "none.ts")])).code).toBe(2);
  const nowhere = ["--server", "nats://127.0.0.1:1", "--timeout", "100ms"];
  expect((await plexus(["dev", join(folder, "mesh.ts"), ...nowhere])).code).toBe(4);
});
