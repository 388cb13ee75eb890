import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { agent } from "@plexus/core";
import type { RunResult, StateSnapshot, StreamItem } from "@plexus/workflow";
import type { NodeProcess } from "@plexus/testing";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { main, plexus, startPlexus, type CliResult } from "../support/cli.ts";
import { useMeshes } from "../support/mesh.ts";

vi.setConfig({ testTimeout: 120_000 }); // each starts several processes, and the machine may be busy

const file = join(import.meta.dirname, "fixtures", "graphs.ts");
const TIMEOUT_MS = 60_000; // of what happens for sure

const meshes = useMeshes();
let folder = "";
let started: NodeProcess[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "plexus-workflow-"));
});
afterEach(async () => {
  await Promise.all(started.map((process) => process[Symbol.asyncDispose]()));
  started = [];
  await rm(folder, { recursive: true, force: true });
});

const env = () => ({
  PLEXUS_SERVERS: meshes.broker.url,
  PLEXUS_MESH: meshes.name,
  NO_COLOR: "1",
});

function run(...args: string[]): Promise<CliResult> {
  return plexus(["workflow", ...args], { env: env() });
}

function start(...args: string[]): NodeProcess {
  const process = startPlexus(["workflow", ...args], env());
  started.push(process);
  return process;
}

async function serve(): Promise<NodeProcess> {
  const server = start("serve", file);
  await server.waitForLine(/^Hosting held, pair, release in mesh /, TIMEOUT_MS);
  return server;
}

type Line = Partial<StreamItem> & { thread?: string; result?: RunResult<unknown>; error?: object };

function lines({ stdout }: Pick<CliResult, "stdout">): Line[] {
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
}

/** Runs graph `held` until its first node has ended, and holds it in the second one. */
async function hold(gate: string): Promise<NodeProcess> {
  const input = JSON.stringify({ file: join(folder, gate) });
  const running = start("run", "held", input, "--thread", "t", "--durability", "sync", "--json");
  await running.waitForLine('"node":"first"', TIMEOUT_MS);
  return running;
}

/** Resolves when a process has said so on standard error. */
async function said(process: NodeProcess, text: string): Promise<void> {
  await expect.poll(() => process.stderr(), { timeout: TIMEOUT_MS }).toContain(text);
}

async function linesOf(process: NodeProcess): Promise<Line[]> {
  const found: Line[] = [];
  for await (const line of process.lines()) found.push(JSON.parse(line) as Line);
  return found;
}

test("a run asks, is answered and told of an event, each by a command that the one before has printed", async () => {
  await serve();
  const asked = await run("run", "release", '{"text":"v1"}', "--thread", "t");
  expect(asked.code).toBe(6);
  expect(asked.stdout).toBe(
    "ask asks: Release v1?\n  plexus workflow resume release t --answer <answer>\n",
  );
  expect(asked.stderr).toBe(
    "thread t\nwrite ▏ written\\x1b[31m\nwrite · { size: 2 }\nwrite ✓ { log: [ 'written v1' ] }\n",
  );
  const wrong = await run("resume", "release", "t", "--answer", "perhaps");
  expect([wrong.code, wrong.stdout]).toMatchObject([6, expect.stringMatching(/not taken: .*yes/)]);
  const answered = await run("resume", "release", "t", "--answer", "yes");
  expect([answered.code, answered.stderr]).toEqual([6, "ask ✓ { verdict: 'yes' }\n"]);
  expect(answered.stdout).toBe(
    "wait waits for event market\n  plexus workflow resume release t --signal market=<json>\n",
  );
  const told = await run("resume", "release", "t", "--signal", 'market="up"');
  expect(told).toMatchObject({ code: 0, stderr: "" });
  expect(told.stdout).toBe("{ text: 'v1', log: [ 'written v1', 'up' ], verdict: 'yes' }\n");
});

test("with --json a run is lines of JSON: its thread, what it tells, its result", async () => {
  await serve();
  const asked = await run("run", "release", '{"text":"v1"}', "--thread", "t", "--json");
  expect([asked.code, asked.stderr]).toEqual([6, ""]);
  expect(lines(asked)).toMatchObject([
    { thread: "t" },
    { mode: "tokens", node: "write", text: "writ" },
    { mode: "tokens", node: "write", text: "ten\u001b[31m" },
    { mode: "custom", node: "write", value: { size: 2 } },
    { mode: "updates", node: "write", update: { log: ["written v1"] } },
    { result: { thread: "t", status: "waiting", interrupts: [{ value: "Release v1?" }] } },
  ]);
  const busy = await run("run", "release", '{"text":"v2"}', "--thread", "t", "--json");
  expect(busy.code).toBe(1);
  expect(lines(busy)).toMatchObject([{ thread: "t" }, { error: { code: "CONFLICT" } }]);
  await writeFile(join(folder, "input.json"), '{"text":"v3"}');
  const instead = ["--busy", "rollback", "--thread", "t", "--id", "order-7", "--json"];
  const given = await run("run", "release", "--input", join(folder, "input.json"), ...instead);
  expect(lines(given).at(-1)?.result).toMatchObject({ run: "order-7", status: "waiting" });
  const shown = await run("show", "release", "t", "--json");
  expect(JSON.parse(shown.stdout)).toMatchObject({
    graph: "release",
    status: "waiting",
    values: { text: "v3", log: ["written v3"] },
    next: ["ask"],
  });
});

describe("when the process that executes a run", () => {
  test("is killed, another one goes on, and who waits has the result", async () => {
    const first = await serve();
    const running = await hold("gate");
    const second = await serve();
    await first.kill("SIGKILL");
    await writeFile(join(folder, "gate"), "");
    const told = await linesOf(running);
    expect((await running.exited).code).toBe(0);
    expect(told.at(-1)?.result).toMatchObject({
      thread: "t",
      status: "completed",
      output: { log: [`first ${first.pid}`, `second ${second.pid}`], count: 2 },
    });
  });

  test("drains, what is being executed ends, and whoever serves the graph next has the rest", async () => {
    const first = await serve();
    const running = await hold("gate");
    setTimeout(() => void writeFile(join(folder, "gate"), ""), 500);
    expect(await first.kill("SIGINT")).toMatchObject({ code: 130 });
    expect(first.stderr()).toContain("Handing over");
    const shards = await (await meshes.join()).shards("workflow-held");
    expect(shards.every(({ state }) => state === "free")).toBe(true);
    await serve();
    expect((await linesOf(running)).at(-1)?.result).toMatchObject({
      output: { log: [`first ${first.pid}`, `second ${first.pid}`] },
    });
  });

  test("is told twice to end, it ends at once", async () => {
    const server = await serve();
    await hold("never");
    process.kill(server.pid, "SIGINT");
    await expect.poll(() => server.stderr()).toContain("Handing over");
    await new Promise((resolve) => setTimeout(resolve, 600)); // later than the same press
    expect(await server.kill("SIGINT")).toMatchObject({ code: 130 });
    const shards = await (await meshes.join()).shards("workflow-held");
    expect(shards.some(({ state }) => state !== "free")).toBe(true); // not all were handed back
  });
});

describe("when the only process that hosts a graph is killed", () => {
  test("its file runs by itself at once", async () => {
    const server = await serve();
    await server.kill("SIGKILL");
    const own = await run("run", `${file}#release`, '{"text":"v1"}', "--thread", "t");
    expect(own).toMatchObject({ code: 6, stdout: expect.stringContaining("Release v1?") });
  });

  test("whoever waits for a run of its file goes on with it", async () => {
    const server = await serve();
    const input = JSON.stringify({ file: join(folder, "gate") });
    const running = start("run", `${file}#held`, input, "--durability", "sync");
    await said(running, "first ✓");
    await server.kill("SIGKILL");
    await writeFile(join(folder, "gate"), "");
    expect((await running.exited).code).toBe(0);
    expect(running.stderr()).toContain("nobody else hosts graph held any more");
    const output = (await Array.fromAsync(running.lines())).join("\n");
    expect(output).toContain(`'first ${server.pid}', 'second ${running.pid}'`);
  });

  test("who gives its run up is told that it goes on when somebody serves the graph", async () => {
    const server = await serve();
    const input = JSON.stringify({ file: join(folder, "gate") });
    const running = start("run", "held", input, "--thread", "t", "--durability", "sync");
    await said(running, "first ✓");
    await server.kill("SIGKILL");
    expect(await running.kill("SIGINT")).toMatchObject({ code: 130 });
    expect(running.stderr()).toContain(
      "The run goes on when somebody serves the graph: `plexus workflow watch held t`",
    );
  });

  test("a run of its file that is given up goes on when somebody serves it", async () => {
    const input = JSON.stringify({ file: join(folder, "gate") });
    const running = start("run", `${file}#held`, input, "--thread", "t");
    await said(running, "first ✓");
    process.kill(running.pid, "SIGINT");
    const next = `plexus workflow watch ${file}#held t`;
    await said(running, `The run goes on when somebody serves the graph: \`${next}\``);
    await writeFile(join(folder, "gate"), "");
    expect((await running.exited).code).toBe(130);
  });
});

test("who gives up before a run has begun is told that nothing was begun", async () => {
  // Is known as who hosts the graph, and takes no thread.
  const name = agent("workflow-release", {
    capabilities: { none: { input: z.null(), output: z.null() } },
  });
  await (await meshes.join()).host(name, { none: () => null });
  const named = ["run", "release", '{"text":"v1"}', "--thread", "t"];
  const late = await run(...named, "--timeout", "500ms");
  expect({ code: late.code, stderr: late.stderr }).toMatchObject({ code: 3 });
  expect(late.stderr).toMatch(/NO_AGENT: Nobody hosts graph release, .*\nNothing was begun\.\n$/);
  const waiting = start(...named);
  await said(waiting, "thread t");
  expect(await waiting.kill("SIGINT")).toMatchObject({ code: 130 });
  expect(waiting.stderr()).toBe("thread t\nNothing was begun.");

  await serve();
  await hold("gate");
  const queued = start("run", "held", "--thread", "t", "--busy", "enqueue");
  await said(queued, "thread t");
  expect(await queued.kill("SIGINT")).toMatchObject({ code: 130 });
  expect(queued.stderr()).toBe(
    "thread t\nNothing was begun yet; it may be when the thread is free.",
  );
  const silent = ["--durability", "exit", "--timeout", "500ms"];
  const unseen = await run("run", "held", '{"file":"/never"}', ...silent);
  expect(unseen.stderr).toMatch(/TIMEOUT: .*\nNothing is recorded of the run before it rests\.\n$/);
});

test("who waits for an owner that hangs is told of the time that was asked for", async () => {
  const server = await serve();
  const input = JSON.stringify({ file: join(folder, "gate") });
  const running = start("run", "held", input, "--thread", "t", "--timeout", "4s");
  await said(running, "first ✓");
  await server.pause();
  expect((await running.exited).code).toBe(5);
  expect(running.stderr()).toContain(
    "TIMEOUT: Whoever executes thread t did not answer within 4000 ms.",
  );
});

test("Ctrl-C ends the waiting for a run; it goes on, and can be watched", async () => {
  const server = await serve();
  const running = await hold("gate");
  expect(await running.kill("SIGINT")).toMatchObject({ code: 130 });
  const input = JSON.stringify({ file: join(folder, "gate") });
  const late = await run("run", "held", input, "--thread", "u", "--timeout", "500ms");
  expect(late.code).toBe(5);
  expect(late.stderr).toMatch(
    /TIMEOUT: .*\nThe run goes on: `plexus workflow watch held u`, or `plexus workflow cancel held u`\.\n$/,
  );
  const watching = run("watch", "held", "t");
  await expect.poll(async () => (await run("ls", "held", "--state", "busy")).stdout).toMatch(/ t /);
  await writeFile(join(folder, "gate"), "");
  const { code, stdout } = await watching;
  expect(code).toBe(0);
  expect(stdout).toContain(`log: [ 'first ${server.pid}', 'second ${server.pid}' ]`);
});

test.skipIf(!existsSync("/usr/bin/script"))(
  "at a terminal, the question is asked right there, until it is answered",
  async () => {
    await serve();
    const words = ["workflow", "run", "release", `'{"text":"v1"}'`, "--thread", "t"];
    const line = [process.execPath, "--conditions=plexus-source", main, ...words].join(" ");
    const terminal = spawn("/usr/bin/script", ["-qec", line, "/dev/null"], {
      env: { ...process.env, ...env() },
    });
    let seen = "";
    terminal.stdout.on("data", (text: Buffer) => (seen += text.toString()));
    await expect.poll(() => seen, { timeout: TIMEOUT_MS }).toContain("ask asks: Release v1?");
    terminal.stdin.write("perhaps\n");
    await expect.poll(() => seen, { timeout: TIMEOUT_MS }).toMatch(/not taken: .*Release v1\?/s);
    terminal.stdin.write("no\n");
    const [code] = (await once(terminal, "exit")) as [number];
    expect({ code, seen }).toMatchObject({ code: 0 });
    expect(seen).toContain("verdict: 'no'");
  },
);

test("a file runs by itself when nobody hosts its graph, and what is recorded can be read afterwards", async () => {
  const own = await run("run", `${file}#release`, '{"text":"\\u001b[2J"}', "--thread", "t\n");
  expect(own.code).toBe(6);
  expect(own.stdout).toBe(
    `ask asks: Release \\x1b[2J?\n  plexus workflow resume ${file}#release 't\\n' --answer <answer>\n`,
  );
  const [listed, shown, whole, everything] = await Promise.all([
    run("ls"),
    run("show", "release", "t\n"),
    run("show", "release", "t\n", "--json"),
    run("ls", "--json"),
  ]);
  expect(listed.stdout).toMatch(/^GRAPH +THREAD +STATE +RECORDS +CHANGED$/m);
  expect(listed.stdout).toMatch(/^release +t\\n +waiting +\d+ +\d+s ago$/m);
  expect(shown.stdout).toMatch(/^t\\n {2}of release {2}waiting/);
  expect(shown.stdout).toMatch(/^text +'\\x1B\[2J'$/m);
  for (const { stdout } of [listed, shown]) expect(stdout).not.toContain("\u001b");
  expect(JSON.parse(whole.stdout)).toMatchObject({ values: { text: "\u001b[2J" } });
  expect(JSON.parse(everything.stdout)).toMatchObject([{ graph: "release", thread: "t\n" }]);
  const unheard = await run("resume", "release", "t\n", "--answer", "no");
  expect(unheard.code).toBe(3);
  const answered = await run("resume", `${file}#release`, "t\n", "--answer", "no");
  expect(answered).toMatchObject({ code: 0, stderr: "ask ✓ { verdict: 'no' }\n" });
  expect(unheard.stderr).toMatch(/NO_AGENT: Nobody hosts graph release .*workflow serve <file>/);
});

test("show tells the checkpoints and what is between them; fork and cancel begin and end with what they show", async () => {
  await serve();
  await run("run", "release", '{"text":"v1"}', "--thread", "t");
  await run("resume", "release", "t", "--answer", "yes");
  const history = await run("show", "release", "t", "--history", "--json");
  const checkpoints = JSON.parse(history.stdout) as StateSnapshot[];
  const asked = checkpoints.findLast(({ status }) => status === "waiting")!;
  expect(asked.interrupts).toMatchObject([{ value: "Release v1?" }]);
  expect(checkpoints[0]!.waits).toEqual([{ node: "wait", event: "market" }]);
  const [then, now] = [asked, checkpoints[0]!].map(({ checkpoint }) => String(checkpoint));
  const [diff, past, shown, fork] = await Promise.all([
    run("show", "release", "t", "--diff", then!, now!),
    run("show", "release", "t", "--checkpoint", then!),
    run("show", "release", "t"),
    run("fork", "release", "t", "--checkpoint", then!, "--to", "f"),
  ]);
  expect(diff.stdout).toBe("verdict\n- (nothing)\n+ 'yes'\n");
  expect(past.stdout).toContain("ask asks: Release v1?\n");
  expect(shown.stdout).toMatch(/^wait waits for event market$/m);
  expect(shown.stdout).toMatch(new RegExp(`^${then} +2 +waiting +ask `, "m"));
  expect(fork).toMatchObject({ code: 0, stdout: "f\n" });
  expect((await run("fork", "release", "t", "--to", "f")).stderr).toContain("CONFLICT");
  const numbers = checkpoints.map(({ checkpoint }) => checkpoint).join(", ");
  const none = new RegExp(`INVALID_INPUT: .* no checkpoint 99\\. There are: ${numbers}\\.`);
  for (const args of [
    ["fork", "release", "t", "--checkpoint", "99", "--to", "g"],
    ["show", "release", "t", "--checkpoint", "99"],
    ["show", "release", "t", "--diff", then!, "99"],
  ]) {
    // Each is told in the failure's line.
    expect(await run(...args)).toMatchObject({ code: 1, stderr: expect.stringMatching(none) });
  }
  const [other, canceled] = await Promise.all([
    run("resume", "release", "f", "--answer", "no", "--json"),
    run("cancel", "release", "t", "not now"),
  ]);
  expect(lines(other).at(-1)).toMatchObject({ result: { output: { verdict: "no" } } });
  expect(canceled.code).toBe(0);
  expect((await run("show", "release", "t")).stdout).toContain("CANCELED: not now");
});

test("a run that has failed is told to be, and goes on where it failed", async () => {
  await serve();
  await writeFile(join(folder, "broken"), "");
  const input = JSON.stringify({ file: join(folder, "broken") });
  const failed = await run("run", "held", input, "--thread", "t");
  expect(failed).toMatchObject({ code: 1, stdout: "" });
  expect(failed.stderr).toContain("AGENT_FAILED: Node second: Error: no luck \\x1b[31m");
  expect(failed.stderr).toContain("`plexus workflow resume held t`");
  const again = await run("resume", "held", "t", "--json");
  expect([again.code, lines(again)]).toMatchObject([1, [{ error: { code: "AGENT_FAILED" } }]]);
});

test("a run pauses where it is told to, and goes on when it is", async () => {
  await serve();
  const before = ["--thread", "t", "--interrupt-before", "bob", "--interrupt-before", "write"];
  const unknown = await run("run", "release", '{"text":"v1"}', ...before);
  expect([unknown.code, unknown.stderr]).toMatchObject([1, expect.stringContaining("bob")]);
  const paused = await run(
    "run",
    "release",
    '{"text":"v1"}',
    ...before.slice(0, 2),
    ...before.slice(4),
  );
  expect([paused.code, paused.stdout]).toEqual([
    6,
    "write: at a breakpoint\n  plexus workflow resume release t\n",
  ]);
  expect((await run("resume", "release", "t")).stdout).toContain("ask asks: Release v1?");
});

test("who would run where a run waits is told what it waits for, and how to answer or end it", async () => {
  await serve();
  await run("run", "release", '{"text":"v1"}', "--thread", "t");
  const again = await run("run", "release", '{"text":"v2"}', "--thread", "t");
  expect(again.code).toBe(1);
  expect(again.stderr).toBe(
    [
      "thread t",
      "plexus workflow run: CONFLICT: The run on thread t waits for an answer to node ask.",
      "ask asks: Release v1?",
      "  plexus workflow resume release t --answer <answer>",
      "End it: `plexus workflow cancel release t`, or run this one with --busy interrupt or rollback.\n",
    ].join("\n"),
  );
  const kept = await run("resume", "release", "t", "--signal", 'market="up"');
  expect(kept.stderr).toMatch(/^Nobody was waiting for event market: it is kept/);
  await run("resume", "release", "t", "--answer", "perhaps");
  const later = await run("resume", "release", "t");
  expect(later.stdout + later.stderr).not.toContain("not taken");
  const answered = await run("resume", "release", "t", "--answer", "yes");
  expect(answered.stdout).toContain("log: [ 'written v1', 'up' ]");
});

test("a graph that others host is executed as they have it, and who has another one is warned", async () => {
  await serve();
  const other = join(folder, "other.mjs");
  const source = `import { END, START, StateGraph, append } from ${JSON.stringify(import.meta.resolve("@plexus/workflow"))};
    import { z } from ${JSON.stringify(import.meta.resolve("zod"))};
    export const pair = new StateGraph({ answers: append(z.number()) }, { name: "pair" })
      .addNode("carl", (_, context) => ({ answers: [context.interrupt("Carl?")] }))
      .addEdge(START, "carl").addEdge("carl", END);`;
  await writeFile(other, source);
  const [theirs, same] = await Promise.all([
    run("run", other, "--thread", "t"),
    run("run", `${file}#pair`, "--thread", "u"),
  ]);
  expect(theirs.stderr).toMatch(
    /^plexus: graph pair is executed as somebody else hosts it .*--mesh <name>\.\nthread t\n/,
  );
  expect(theirs.stdout).toContain("ada asks: Ada?");
  expect(same.stderr).toBe("thread u\n");
});

test("of several questions one must be named", async () => {
  await serve();
  await run("run", "pair", "--thread", "t");
  const which = await run("resume", "pair", "t", "--answer", "1");
  expect(which.code).toBe(1);
  expect(which.stderr).toMatch(
    /^plexus workflow resume: INVALID_INPUT: The run on thread t asks 2 questions: .*\nada asks: Ada\?\n {2}plexus workflow resume pair t --interrupt /,
  );
  const ids = [...which.stderr.matchAll(/--interrupt (\S+) --answer <answer>$/gm)];
  const [ada, bob] = ids.map(([, id]) => id!);
  const none = await run("resume", "pair", "t", "--interrupt", "zzz", "--answer", "2");
  expect(none.stderr).toContain(`INVALID_INPUT: There is no question zzz; open: ${ada}, ${bob}.\n`);
  await run("resume", "pair", "t", "--interrupt", bob!, "--answer", "2");
  const other = await run("resume", "pair", "t", "--interrupt", "zzz", "--answer", "2");
  expect(other.stderr).toContain(`INVALID_INPUT: There is no question zzz; open: ${ada}.\n`);
  const last = await run("resume", "pair", "t", "--interrupt", ada!, "--answer", "1");
  expect(last).toMatchObject({ code: 0, stdout: "{ answers: [ 1, 2 ] }\n" });
});

test("a graph is drawn from its file, or by whoever hosts it", async () => {
  const local = await run("graph", `${file}#release`);
  expect(local).toMatchObject({ code: 0, stderr: "" });
  expect(local.stdout).toMatch(/^START\n└─ write\n {3}└─ ask\n/);
  await serve();
  const [hosted, whole] = await Promise.all([
    run("graph", "release", "--mermaid"),
    run("graph", "release", "--json"),
  ]);
  expect(hosted.stdout).toMatch(/^flowchart TD\n/);
  expect(JSON.parse(whole.stdout)).toMatchObject({
    name: "release",
    version: "0.0.0",
    drawing: local.stdout.trimEnd(),
  });
});

test("what cannot be is said at once, with what could be meant", async () => {
  const nothing = join(folder, "nothing.ts");
  await writeFile(nothing, "export const answer = 42;\n");
  const twice = join(folder, "twice.mjs");
  await writeFile(twice, "throw new Error('no');\n");
  await serve();
  const cases: [string[], number, RegExp][] = [
    [["run", "relese"], 3, /NO_AGENT: .*Did you mean release\? Hosted are: held, pair, release/],
    [["show", "relese", "x"], 3, /NO_AGENT: Nobody has ever .*Did you mean release\?/],
    [["resume", "relese", "x"], 3, /NO_AGENT: .*Did you mean release\?/],
    [["fork", "relese", "x"], 3, /NO_AGENT: .*Did you mean release\?/],
    [["cancel", "relese", "x"], 3, /NO_AGENT: .*Did you mean release\?/],
    [["run", "release"], 1, /INVALID_INPUT: .*text/s],
    [["run", "release", "[1]"], 2, /USAGE: The input of a graph is an object/],
    [["run", `${file}#relese`], 2, /USAGE: .*no graph relese\. There is: .*#release/],
    [["serve", nothing], 2, /USAGE: .*exports no graph, only answer/],
    [["serve", twice], 2, /USAGE: .*cannot be loaded: no \(.*twice\.mjs:1/],
    [["show", "release", "x"], 3, /NO_RUN: Nothing is recorded of thread x\. `plexus workflow ls`/],
    [["show", "release", "x", "--diff", "1"], 2, /USAGE: --diff takes two/],
    [["watch", "release", "x"], 3, /NO_RUN/],
    [["resume", "release", "x", "--answer", "1", "--signal", "a=1"], 2, /USAGE: --answer and/],
    [["rn"], 2, /USAGE: unknown command 'rn'\. Did you mean run\?/],
  ];
  const results = await Promise.all(cases.map(([args]) => run(...args)));
  for (const [index, [args, code, message]] of cases.entries()) {
    const { code: actual, stderr } = results[index]!;
    expect({ args, code: actual, stderr }).toMatchObject({ args, code });
    expect(stderr).toMatch(message);
  }
});
