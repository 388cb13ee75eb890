import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join as path } from "node:path";
import { connect, type InstanceInfo, type Mesh } from "@plexus/mesh";
import { spawnNode, startBroker, type Broker, type NodeProcess } from "@plexus/testing";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { Notes } from "./fixtures/contracts.ts";
import { plexus, startPlexus, type CliResult } from "../support/cli.ts";

const fixture = (name: string): string => path(import.meta.dirname, "fixtures", name);
const escape = "\u001B[";

vi.setConfig({ testTimeout: 60_000 }); // each starts several processes, and the machine may be busy

let broker: Broker;
let env: { PLEXUS_SERVERS: string; PLEXUS_MESH: string };
let agents: NodeProcess[];

/** Runs a command in the mesh of this file. */
const run = (args: readonly string[], input?: string): Promise<CliResult> =>
  plexus(args, { env, ...(input === undefined ? {} : { input }) });

/** Its standard output as JSON; standard error and exit code must be clean. */
async function json<T>(args: readonly string[], input?: string): Promise<T> {
  const { code, stdout, stderr } = await run([...args, "--json"], input);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout) as T;
}

function startAgent(name: string, as = name): NodeProcess {
  return spawnNode(fixture(`${name}.ts`), { env: { ...env, PLEXUS_NAME: as } });
}

/** Joins the mesh of this file. */
function join(): Promise<Mesh> {
  const { PLEXUS_SERVERS: servers, PLEXUS_MESH: mesh } = env;
  return connect({ servers, mesh, http: false });
}

/** Lets the clerk work while something looks on. */
async function whileBusy<T>(look: () => Promise<T>): Promise<T> {
  await using mesh = await join();
  const work = setInterval(() => {
    mesh.invoke("clerk", "wait", { ms: 1 }).catch(() => undefined); // the last one may be cut off
  }, 100);
  try {
    return await look();
  } finally {
    clearInterval(work);
  }
}

const tail = (args: readonly string[]): Promise<CliResult> =>
  whileBusy(() => run(["tail", "--timeout", "30s", ...args]));

beforeAll(async () => {
  broker = await startBroker();
  env = { PLEXUS_SERVERS: broker.url, PLEXUS_MESH: "office" };
  agents = [startAgent("greeter", "front"), startAgent("greeter", "back"), startAgent("clerk")];
  await Promise.all(agents.slice(0, 2).map((agent) => agent.waitForLine("hosting", 30_000)));
  await vi.waitUntil(() => agents[2]!.stderr().includes("hosting"), 30_000);
});

afterAll(async () => {
  await Promise.all(agents.map((agent) => agent[Symbol.asyncDispose]()));
  await broker[Symbol.asyncDispose]();
});

describe.concurrent("plexus agents ls", () => {
  it("shows every instance in a table", async () => {
    const { code, stdout } = await run(["agents", "ls"]);
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split("\n");
    expect(lines[0]).toMatch(
      /^AGENT +INSTANCE +VERSION +HOST +PID +UPTIME +WEIGHT +CAPABILITIES +HTTP$/,
    );
    expect(lines.slice(1).map((line) => line.split(/ +/).slice(0, 3).join(" "))).toEqual([
      expect.stringMatching(/^clerk clerk-\w+-1 0\.0\.0$/),
      expect.stringMatching(/^greeter back-\w+-1 1\.2\.0$/),
      expect.stringMatching(/^greeter front-\w+-1 1\.2\.0$/),
    ]);
    expect(stdout).toMatch(/greet,spell,count +http:\/\/127\.0\.0\.1:\d+/);
  });

  it("selects one agent, as JSON", async () => {
    const found = await json<InstanceInfo[]>(["agents", "ls", "greeter"]);
    expect(found.map(({ name }) => name)).toEqual(["back", "front"]);
    expect(found[0]).toMatchObject({ agent: "greeter", version: "1.2.0", weight: 1 });
  });

  it("exits 3 when there is no such agent", async () => {
    const { code, stdout, stderr } = await run(["agents", "ls", "nobody"]);
    expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
    expect(stderr).toMatch(/^plexus agents ls: NO_AGENT: .*nobody.*plexus agents ls.*\n$/);
  });

  it("an empty mesh is fine", async () => {
    expect(await json(["--mesh", "empty", "agents", "ls"])).toEqual([]);
    const { stdout } = await run(["agents", "ls", "--mesh", "empty"]);
    expect(stdout).toBe("No agents in mesh empty.\n");
    const unnamed = await plexus(["agents", "ls"], { env: { ...env, PLEXUS_MESH: "" } });
    expect(unnamed.stdout).toBe(
      "No agents in mesh plexus. --mesh or PLEXUS_MESH names another one.\n",
    );
  });
});

describe.concurrent("plexus agents inspect", () => {
  it("shows the contract, and the load of each instance", async () => {
    const { code, stdout } = await run(["agents", "inspect", "greeter"]);
    expect(code).toBe(0);
    expect(stdout).toContain("greeter 1.2.0  Greets by name");
    expect(stdout).toContain(
      "greet (idempotent)  A friendly sentence\n    input   { name: string }",
    );
    expect(stdout).toMatch(/^front-\w+-1 .* ready +0 of 128 +0/m);
    expect(stdout).toMatch(/^back-\w+-1 /m);
  });

  it("takes the beginning of an instance's id", async () => {
    const found = await json<{ capabilities: object; instances: object[] }>([
      "agents",
      "inspect",
      "fro",
    ]);
    expect(found).toMatchObject({
      name: "greeter",
      capabilities: {
        greet: { idempotent: true, input: { type: "object" } },
        spell: { streaming: true },
      },
      instances: [{ name: "front", running: 0, queued: 0, draining: false }],
    });
  });

  it("exits 3 for an unknown name", async () => {
    expect((await run(["agents", "inspect", "nobody"])).code).toBe(3);
  });
});

describe.concurrent("plexus call", () => {
  it("prints the answer for a person", async () => {
    const { code, stdout } = await run(["call", "greeter", "greet", '{"name":"Ada"}']);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^\{ text: 'Hello, Ada', by: '(front|back)', at: 1970-01-01T00:00:00\.000Z \}\n$/,
    );
  });

  it("takes its input from a file or from standard input", async () => {
    const folder = mkdtempSync(path(tmpdir(), "plexus-cli-"));
    writeFileSync(path(folder, "in.json"), '{"name":"File"}');
    const call = ["call", "greeter", "greet"];
    expect(await json([...call, `@${path(folder, "in.json")}`])).toMatchObject({
      text: "Hello, File",
    });
    expect(await json([...call, "-"], '{"name":"Pipe"}')).toMatchObject({ text: "Hello, Pipe" });
    rmSync(folder, { recursive: true });
  });

  it("prints what JSON does not know", async () => {
    const { stdout } = await run(["call", "clerk", "kinds"]);
    expect(stdout).toContain("big: 12345678901234567890n");
    expect(stdout).toContain("bytes: <Buffer 01 02 ff>");
    expect(await json(["call", "clerk", "kinds"])).toEqual({
      big: "12345678901234567890",
      bytes: "AQL/",
      date: "1970-01-01T00:00:00.000Z",
      map: { a: 1 },
      pairs: [[1, ["x"]]],
    });
  });

  it("streams chunks, and then the result", async () => {
    const text = await run(["call", "greeter", "spell", '{"name":"Ada"}', "--stream"]);
    expect(text).toMatchObject({ code: 0, stdout: "Ada\n" });
    const lines = await run(["call", "greeter", "count", '{"to":2}', "--stream", "--json"]);
    expect(lines.stdout).toBe('{"chunk":{"n":1}}\n{"chunk":{"n":2}}\n{"result":{"sum":"3"}}\n');
    const whole = await run(["call", "greeter", "spell", '{"name":"Ada"}']);
    expect(whole.stdout).toBe("Ada\n");
  });

  it("sends equal keys anywhere that answers", async () => {
    expect(await json(["call", "greeter", "greet", '{"name":"K"}', "--key", "k"])).toBeTypeOf(
      "object",
    );
  });

  it.each([
    [1, "INVALID_INPUT", ["greeter", "greet", '{"name":1}']],
    [1, "AGENT_FAILED", ["clerk", "fail", "{}"]],
    [2, "USAGE", ["greeter", "greet", "{oops"]],
    [2, "USAGE", ["greeter", "greet", "@/nowhere.json"]],
    [2, "USAGE", ["greeter"]],
    [2, "USAGE", ["not a name", "greet"]],
    [2, "USAGE", ["greeter", "greet", "--timeout", "soon"]],
    [2, "USAGE", ["greeter", "greet", "--nonsense"]],
    [3, "NO_AGENT", ["nobody", "greet"]],
    [3, "NO_CAPABILITY", ["greeter", "nothing"]],
    [5, "TIMEOUT|DEADLINE_EXCEEDED", ["clerk", "wait", '{"ms":9000}', "--timeout", "200ms"]],
  ])("exits %i for %s: %j", async (code, name, args) => {
    const { stdout, ...rest } = await run(["call", ...args, "--json"]);
    expect(rest).toEqual({ code, stderr: "" });
    expect(JSON.parse(stdout)).toEqual({
      error: {
        code: expect.stringMatching(`^(?:${name})$`) as string,
        message: expect.any(String) as string,
        retryable: name === "NO_AGENT",
      },
    });
  });

  it.each([
    [2, "USAGE", ["greeter"]],
    [3, "NO_CAPABILITY", ["greeter", "nothing"]],
  ])("exits %i for %s with one line for a person", async (code, name, args) => {
    const { stderr, ...rest } = await run(["call", ...args]);
    expect(rest).toEqual({ code, stdout: "" });
    expect(stderr).toMatch(new RegExp(`^plexus call: ${name}: [^\\n]+ .plexus [^\\n]+\\n$`));
  });
});

describe.concurrent("plexus without a broker", () => {
  const nowhere = ["--server", "nats://127.0.0.1:1", "--timeout", "300ms"];

  it.each([
    [["agents", "ls"]],
    [["agents", "inspect", "a"]],
    [["agents", "drain", "a"]],
    [["call", "a", "b"]],
    [["tail"]],
  ])("%j exits 4", async (args) => {
    const { code, stdout, stderr } = await run([...args, ...nowhere]);
    expect({ code, stdout }).toEqual({ code: 4, stdout: "" });
    expect(stderr).toMatch(/NOT_CONNECTED: No NATS server answers at nats:\/\/127\.0\.0\.1:1 /);
  });

  it("wrong credentials and an unfit broker exit 4 as well", async () => {
    await using guarded = await startBroker({ config: { authorization: { token: "s3cret" } } });
    const locked = await run(["agents", "ls", "--server", guarded.url]);
    expect(locked.code).toBe(4);
    expect(locked.stderr).toMatch(/UNAUTHORIZED: .*--server: nats:\/\/user:password@/);
    const opened = guarded.url.replace("nats://", "nats://s3cret@");
    expect((await run(["agents", "ls", "--server", opened])).code).toBe(0);
    await using plain = await startBroker({ jetstream: false });
    const unfit = await run(["agents", "ls", "--server", plain.url, "--json"]);
    expect(unfit.code).toBe(4);
    expect(JSON.parse(unfit.stdout)).toMatchObject({ error: { code: "INCOMPATIBLE_BROKER" } });
  });
});

describe.concurrent("plexus tail", () => {
  it("shows events decoded, a line each", async () => {
    const { code, stdout } = await tail(["evt.notes.*", "--match", "waiting", "-n", "1"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} event {4}clerk-\w+ → notes\.blue {2}\{ color: 'blue', text: 'waiting \d+ ms' \}\n$/,
    );
  });

  it("filters by kind and agent, as NDJSON", async () => {
    const { code, stdout } = await tail([
      "--kind",
      "response",
      "--agent",
      "clerk",
      "--name",
      "wait",
      "--sender",
      "clerk-",
      "-n",
      "2",
      "--json",
    ]);
    expect(code).toBe(0);
    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as object);
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatchObject({ kind: "response", name: "wait", value: "done", bytes: 5 });
  });

  it("exits 5 when too few messages came, 0 when none were asked for, 2 for an unknown kind", async () => {
    const waiting = ["tail", "no.such.subject", "--timeout", "100ms"];
    expect((await run([...waiting, "-n", "1"])).code).toBe(5);
    expect((await run(waiting)).code).toBe(0);
    expect((await run(["tail", "--kind", "telegram"])).code).toBe(2);
  });

  it("Ctrl-C exits 130", async () => {
    const looking = startPlexus(["tail", "--json"], env);
    await whileBusy(() => looking.waitForLine("waiting", 30_000));
    expect((await looking.kill("SIGINT")).code).toBe(130);
  });
});

describe.concurrent("plexus doctor", () => {
  type Report = { ok: boolean; checks: { check: string; status: string; detail: string }[] };

  it("finds a good broker good", async () => {
    const report = await json<Report>(["doctor", "--monitor", broker.monitorUrl]);
    const statuses = Object.fromEntries(report.checks.map(({ check, status }) => [check, status]));
    expect(report.ok).toBe(true);
    expect(statuses).toMatchObject({
      "Node.js": "ok",
      broker: "ok",
      version: "ok",
      headers: "ok",
      JetStream: "ok",
      "per-message TTL": "ok",
      "atomic batches": "ok",
      "message schedules": "ok",
      clock: "ok",
      durability: "ok",
    });
    expect(report.checks.at(-1)!.detail).toMatch(/^tier dev \(one server; sync_interval 120 s\)/);
  });

  it("says what is unknown", async () => {
    const { stdout } = await run(["doctor"]);
    expect(stdout).toMatch(/^ok +durability +tier dev \(one server; sync_interval unknown\)/m);
  });

  it("exits 1 when something is missing, with the remedy", async () => {
    await using plain = await startBroker({ jetstream: false });
    const { code, stdout } = await run(["doctor", "--server", plain.url]);
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /^FAIL +JetStream +the server runs without JetStream\n +→ Start nats-server with -js/m,
    );
  });

  it("exits 4 without a broker and names the embedded one", async () => {
    const nothing = { PLEXUS_SERVERS: "", PLEXUS_MESH: "" }; // is none
    const args = ["doctor", "--server", "127.0.0.1:1", "--timeout", "200ms"];
    const { code, stdout } = await plexus(args, { env: nothing });
    expect(code).toBe(4);
    expect(stdout).toMatch(/^FAIL +broker +No NATS server answers/m);
    expect(stdout).toMatch(/^ok +embedded broker +nats-server \d+\.\d+\.\d+ from \w+: \//m);
  });
});

describe.concurrent("plexus itself", () => {
  it("shows help and version", async () => {
    expect(await run(["--help"])).toMatchObject({ code: 0, stderr: "" });
    expect(await run(["agents", "ls", "--help"])).toMatchObject({ code: 0, stderr: "" });
    expect((await run(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it.each([
    [["help"], ["--help"]],
    [
      ["help", "agents"],
      ["agents", "--help"],
    ],
    [
      ["agents", "help"],
      ["agents", "--help"],
    ],
    [
      ["help", "agents", "ls"],
      ["agents", "ls", "--help"],
    ],
    [
      ["agents", "help", "ls"],
      ["agents", "ls", "--help"],
    ],
    [
      ["help", "call"],
      ["call", "--help"],
    ],
  ])("%j shows what %j shows", async (asked, usual) => {
    const [{ stdout }, shown] = await Promise.all([run(usual), run(asked)]);
    expect(shown).toEqual({ code: 0, stdout, stderr: "" });
  });

  it.each([
    [[]],
    [["agents"]],
    [["nonsense"]],
    [["agents", "nonsense"]],
    [["--nonsense"]],
    [["help", "nonsense"]],
  ])("%j exits 2 and writes nothing to stdout", async (args) => {
    const { code, stdout, stderr } = await run(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).not.toBe("");
  });

  it("help of an unknown command names one that is near", async () => {
    const { code, stderr } = await run(["help", "agents", "inspekt"]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/unknown command 'inspekt'\. Did you mean inspect\?.* --help`\.\n$/);
  });

  it("uses no colour when its output is no terminal, or NO_COLOR is set", async () => {
    expect((await run(["agents", "ls"])).stdout).not.toContain(escape);
    const forced = await plexus(["agents", "ls"], { env: { ...env, FORCE_COLOR: "1" } });
    expect(forced.stdout).toContain(escape);
    const none = await plexus(["agents", "ls"], { env: { ...env, NO_COLOR: "1" } });
    expect(none.stdout).not.toContain(escape);
  });
});

describe.concurrent("plexus agents drain", () => {
  it.each([
    ["call", "clerk", ["call", "clerk", "wait", '{"ms":10000}'], '"done"'],
    [
      "task",
      "settler",
      ["task", "submit", "settler", "settle", '{"order":"A7","ms":10000}', "--wait"],
      '"order":"A7"',
    ],
  ])("waits for a %s that still runs, and can go on waiting", async (what, name, work, result) => {
    const own = { ...env, PLEXUS_MESH: `leaving-${name}` };
    await using agent = spawnNode(fixture(`${name}.ts`), { env: own });
    await using mesh = await connect({ servers: broker.url, mesh: own.PLEXUS_MESH, http: false });
    await mesh.waitFor(name);
    const [{ instance } = { instance: "" }] = mesh.agents(name);
    const drain = (...args: string[]): Promise<CliResult> =>
      plexus(["agents", "drain", instance, ...args], { env: own });
    await using working = startPlexus([...work, "--json"], own);
    await vi.waitUntil(async () => {
      const { running, tasks } = await mesh.inspect(instance);
      return running + (tasks?.running ?? 0) === 1;
    }, 30_000);
    const early = await drain("--timeout", "1s");
    expect(early).toMatchObject({ code: 5, stdout: "" });
    expect(early.stderr).toContain(`${instance} takes nothing new and finishes 1 ${what}\n`);
    expect(early.stderr).toContain(`but has not finished 1 ${what} within 1000 ms.`);
    const { code, stdout } = await drain();
    await agent.kill("SIGKILL"); // nothing is lost by that any more
    expect({ code, stdout }).toMatchObject({ code: 0 });
    expect(stdout).toContain(`${instance} has left mesh leaving-${name} (`);
    expect(await working.waitForLine(result)).toContain(result);
    expect((await drain()).code).toBe(3);
  });
});

// These look at or change what the others use, so they come last and one by one.
describe("afterwards", () => {
  it("Ctrl-C during a call cancels the handler and exits 130", async () => {
    await using mesh = await join();
    const { promise: begun, resolve } = Promise.withResolvers<unknown>();
    await mesh.subscribe(Notes, resolve);
    await using call = startPlexus(["call", "clerk", "wait", '{"ms":60000}'], env);
    expect(await begun).toMatchObject({ text: "waiting 60000 ms" });
    expect(await call.kill("SIGINT")).toEqual({ code: 130, signal: null });
    await vi.waitFor(async () => {
      const clerk = await json<{ instances: object[] }>(["agents", "inspect", "clerk"]);
      expect(clerk.instances).toMatchObject([{ running: 0 }]);
    }, 90_000);
  });

  it("plexus agents drain waits until the instance has left, which a watcher sees", async () => {
    const extra = startAgent("greeter", "extra");
    await extra.waitForLine("hosting", 30_000);
    const watcher = startPlexus(["agents", "ls", "--watch", "--json"], env);
    await watcher.waitForLine('"name":"extra"', 30_000);
    const { drained } = await json<{ drained: string }>(["agents", "drain", "extra-"]);
    expect(drained).toMatch(/^extra-\w+-1$/);
    const left = JSON.parse(await watcher.waitForLine('"type":"left"')) as {
      instance: InstanceInfo;
    };
    expect(left.instance.instance).toBe(drained);
    expect((await run(["agents", "drain", drained])).code).toBe(3);
    expect((await watcher.kill("SIGINT")).code).toBe(130);
    await extra.kill();
  });

  it("plexus agents drain asks for more when several instances are meant", async () => {
    const { code, stderr } = await run(["agents", "drain", "greeter"]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/greeter may be any of back-\w+-1, front-\w+-1: write more/);
  });
});
