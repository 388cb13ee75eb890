import { join as path } from "node:path";
import { connect, type DeadLetter, type DeadLetterReport, type TaskStatus } from "@plexus/mesh";
import { spawnNode, startBroker, type Broker, type NodeProcess } from "@plexus/testing";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { inTurn } from "../support/mesh.ts";
import { plexus, startPlexus, type CliResult } from "../support/cli.ts";
import { Settler } from "./fixtures/contracts.ts";

vi.setConfig({ testTimeout: 60_000 }); // each starts several processes, and the machine may be busy

const ID = /^[0-9A-HJKMNP-TV-Z]{26}$/;
const unknown = "01JZ8Q4M6T3V9K2D5XWBHN7RCE";

let broker: Broker;
let agent: NodeProcess;

const env = (mesh: string): { PLEXUS_SERVERS: string; PLEXUS_MESH: string } => ({
  PLEXUS_SERVERS: broker.url,
  PLEXUS_MESH: mesh,
});

/** Runs a command in a mesh: in `office`, an agent settles what is submitted. */
const run = (args: readonly string[], mesh = "office"): Promise<CliResult> =>
  plexus(args, { env: env(mesh) });

/** Its standard output as JSON; standard error and exit code must be clean. */
async function json<T>(args: readonly string[], mesh = "office"): Promise<T> {
  const { code, stdout, stderr } = await run([...args, "--json"], mesh);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout) as T;
}

async function startSettler(mesh: string, ...args: string[]): Promise<NodeProcess> {
  const module = path(import.meta.dirname, "fixtures", "settler.ts");
  const settler = spawnNode(module, { args, env: { ...env(mesh), PLEXUS_NAME: "settler" } });
  await settler.waitForLine("hosting", 30_000);
  return settler;
}

/** Buries so many tasks in a mesh and returns their ids; nobody is left who could settle them. */
async function bury(mesh: string, orders: readonly string[]): Promise<string[]> {
  const broken = await startSettler(mesh, "broken");
  await using client = await connect({ servers: broker.url, mesh, http: false });
  const ids: string[] = [];
  await inTurn(orders, async (order) => {
    const task = await client.submit(Settler, "settle", { order });
    await expect(task.result()).rejects.toMatchObject({ code: "AGENT_FAILED" });
    ids.push(task.id);
  });
  await broken.kill("SIGTERM");
  return ids;
}

beforeAll(async () => {
  broker = await startBroker();
  agent = await startSettler("office");
});

afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  await broker[Symbol.asyncDispose]();
});

describe.concurrent("plexus task submit", () => {
  const submit = ["task", "submit", "settler", "settle"];

  it("prints the id, by which the task is found again", async () => {
    const { code, stdout, stderr } = await run([...submit, '{"order":"one"}']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout.trim()).toMatch(ID);
    await vi.waitFor(async () => {
      const shown = await json<TaskStatus>(["task", "show", stdout.trim()]);
      expect(shown).toMatchObject({
        state: "completed",
        agent: "settler",
        capability: "settle",
        attempt: 1,
        result: { order: "one", by: "settler" },
      });
    }, 90_000);
    const text = await run(["task", "show", stdout.trim()]);
    expect(text.stdout).toMatch(/ settler\.settle {2}completed {2}ended \d+s ago\n/);
    expect(text.stdout).toContain("result { order: 'one', by: 'settler' }");
  });

  it("waits for the result when asked to", async () => {
    const { code, stdout, stderr } = await run([...submit, '{"order":"two"}', "--wait"]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "{ order: 'two', by: 'settler' }\n" });
    expect(stderr).toMatch(/^task \w{26}\n$/);
    expect(await json([...submit, '{"order":"two"}', "--wait", "--priority", "high"])).toEqual({
      task: expect.stringMatching(ID) as string,
      result: { order: "two", by: "settler" },
    });
  });

  it("names the task that has failed, or that it no longer waits for, beside the error", async () => {
    await using broken = await startSettler("failing", "broken");
    expect(broken.pid).toBeGreaterThan(0);
    const wait = [...submit, '{"order":"five","ms":9000}', "--wait", "--timeout", "300ms"];
    const failing = [...submit, '{"order":"six"}', "--wait"];
    const [late, failed] = await Promise.all([
      run([...wait, "--json"]),
      run([...failing, "--json"], "failing"),
    ]);
    expect([late.code, failed.code]).toEqual([5, 1]);
    const task = expect.stringMatching(ID) as string;
    expect(JSON.parse(late.stdout)).toMatchObject({ task, error: { code: "TIMEOUT" } });
    expect(JSON.parse(failed.stdout)).toMatchObject({ task, error: { code: "AGENT_FAILED" } });
  });

  it("submits equal keys once", async () => {
    const key = ["--key", "order 3"];
    const first = await json<{ task: string }>([...submit, '{"order":"three"}', ...key]);
    expect(await json([...submit, '{"order":"four"}', ...key])).toEqual(first);
  });

  it("warns when nobody is there, and submits all the same", async () => {
    const { code, stdout, stderr } = await run(submit, "lonely");
    expect(code).toBe(0);
    expect(stdout.trim()).toMatch(ID);
    expect(stderr).toBe(
      "plexus: no instance of agent settler answers in mesh lonely; the task waits for one.\n",
    );
    expect(await json(["task", "ls"], "lonely")).toMatchObject([
      { id: stdout.trim(), state: "submitted" },
    ]);
  });

  it.each([
    [1, "INVALID_INPUT", ["settler", "settle", '{"order":1}', "--wait"]],
    [1, "INVALID_CONTRACT", ["settler", "quote", "{}"]],
    [1, "INVALID_INPUT", ["settler", "settle", "{}", "--tenant", "nobody knows"]],
    [2, "USAGE", ["settler"]],
    [2, "USAGE", ["settler", "settle", "{oops"]],
    [2, "USAGE", ["settler", "settle", "{}", "--priority", "urgent"]],
    [2, "USAGE", ["settler", "settle", "{}", "--delay", "soon"]],
    [2, "USAGE", ["settler", "settle", "{}", "--at", "noon"]],
    [2, "USAGE", ["settler", "settle", "{}", "--delay", "1s", "--at", "2030-01-01"]],
    [3, "NO_CAPABILITY", ["settler", "nothing"]],
    [
      5,
      "TIMEOUT",
      ["settler", "settle", '{"order":"t","ms":9000}', "--wait", "--timeout", "300ms"],
    ],
  ])("exits %i for %s: %j", async (code, name, args) => {
    const { stdout, ...rest } = await run(["task", "submit", ...args, "--json"]);
    expect(rest).toEqual({ code, stderr: "" });
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: name } });
  });
});

describe.concurrent("plexus task", () => {
  it("watch shows what happens until the task ends", async () => {
    const submit = ["task", "submit", "settler", "settle", '{"order":"w","ms":1000}'];
    const task = (await run(submit, "watched")).stdout.trim();
    const watchers = [["--json"], []].map((args) =>
      startPlexus(["task", "watch", task, ...args], env("watched")),
    );
    await Promise.all(watchers.map((watcher) => watcher.waitForLine("submitted", 30_000)));
    await using settler = await startSettler("watched");
    expect(settler.pid).toBeGreaterThan(0);
    const exits = await Promise.all(watchers.map((watcher) => watcher.exited));
    expect(exits.map(({ code }) => code)).toEqual([0, 0]);
    const [lines, text] = await Promise.all(
      watchers.map(async (watcher) => {
        const all: string[] = [];
        for await (const line of watcher.lines()) all.push(line);
        return all;
      }),
    );
    const events = lines!.map((line) => JSON.parse(line) as { type: string });
    expect(events[0]).toMatchObject({ type: "status", id: task, state: "submitted" });
    expect(events).toContainEqual(
      expect.objectContaining({ type: "progress", fraction: 0.5, note: "step 2" }),
    );
    expect(events.at(-1)).toMatchObject({ type: "finished", state: "completed", attempt: 1 });
    expect(text![0]).toMatch(/settler\.settle {2}submitted {2}submitted \d+s ago$/);
    expect(text!.join("\n")).toMatch(/^\d\d:\d\d:\d\d 100 % step 4$/m);
    expect(text!.at(-1)).toMatch(/completed attempt 1 \(settler-\w+-1\)$/);
  });

  it("cancel ends a task, and watch exits with its code", async () => {
    const args = ["task", "submit", "settler", "settle", '{"order":"c","ms":60000}'];
    const { task } = await json<{ task: string }>(args);
    const watching = startPlexus(["task", "watch", task, "--json"], env("office"));
    await watching.waitForLine('"type":"status"', 30_000);
    expect(await json(["task", "cancel", task])).toEqual({ canceled: task });
    const finished = await watching.waitForLine('"type":"finished"', 30_000);
    expect(JSON.parse(finished)).toMatchObject({ state: "canceled", error: { code: "CANCELED" } });
    expect((await watching.exited).code).toBe(1);
    const again = await run(["task", "cancel", task]);
    expect(again.code).toBe(1);
    expect(again.stderr).toMatch(
      /^plexus task cancel: CONFLICT: .* has ended before: canceled\.\n$/,
    );
  });

  it("watch ends with Ctrl-C or --timeout; the task goes on", async () => {
    const args = ["task", "submit", "settler", "settle", '{"order":"g"}', "--at", "2100-01-01"];
    const { task } = await json<{ task: string }>(args);
    const watching = startPlexus(["task", "watch", task], env("office"));
    await watching.waitForLine("submitted", 30_000);
    expect((await watching.kill("SIGINT")).code).toBe(130);
    expect((await run(["task", "watch", task, "--timeout", "200ms"])).code).toBe(5);
    expect(await json(["task", "show", task])).toMatchObject({
      state: "submitted",
      dueAt: Date.UTC(2100, 0, 1),
    });
  });

  it("ls selects by agent, state and number, and shows a table", async () => {
    const submit = ["task", "submit", "settler", "settle"];
    const first = await json<{ task: string }>([...submit, '{"order":"a"}', "--wait"]);
    const second = await json<{ task: string }>([...submit, '{"order":"b"}', "--delay", "1h"]);
    const ids = async (...args: string[]): Promise<string[]> =>
      (await json<TaskStatus[]>(["task", "ls", ...args])).map(({ id }) => id);
    expect(await ids("--state", "completed")).toContain(first.task);
    expect(await ids("--state", "submitted")).toContain(second.task);
    expect(await ids("--agent", "nobody")).toEqual([]);
    expect(await ids("--limit", "1")).toHaveLength(1);
    const { stdout } = await run(["task", "ls"]);
    expect(stdout).toMatch(/^TASK +AGENT +CAPABILITY +STATE +ATTEMPT +WHEN +INSTANCE +NOTE\n/);
    expect(stdout).toMatch(
      new RegExp(`^${second.task} +settler +settle +submitted +1 +due in `, "m"),
    );
    expect((await run(["task", "ls"], "empty")).stdout).toBe("No tasks in mesh empty.\n");
    expect((await run(["task", "ls", "--state", "lost"])).code).toBe(2);
  });

  it.each([["show"], ["watch"], ["cancel"], ["retry"]])(
    "%s exits 3 for an unknown id",
    async (verb) => {
      const { stdout, ...rest } = await run(["task", verb, unknown, "--json"]);
      expect(rest).toEqual({ code: 3, stderr: "" });
      expect(JSON.parse(stdout)).toMatchObject({ error: { code: "NO_TASK" } });
      expect((await run(["task", verb, "no id"])).code).toBe(3);
    },
  );
});

describe.concurrent("plexus dlq", () => {
  it("shows dead letters with history and input", async () => {
    const [id] = await bury("buried", ["gold"]);
    const listed = await json<DeadLetter[]>(["dlq", "ls"], "buried");
    expect(listed).toMatchObject([
      { id, agent: "settler", capability: "settle", reason: "AGENT_FAILED", attempts: 1 },
    ]);
    const { stdout } = await run(["dlq", "ls", "--agent", "settler", "-n", "5"], "buried");
    expect(stdout).toMatch(/^TASK +AGENT +CAPABILITY +ATTEMPTS +WHEN +REASON +MESSAGE\n/);
    expect(stdout).toMatch(/ AGENT_FAILED +the bank is closed for gold\n$/);
    expect(await json<DeadLetterReport>(["dlq", "show", id!], "buried")).toMatchObject({
      id,
      input: { order: "gold" },
      history: [{ attempt: 1, code: "AGENT_FAILED", message: "the bank is closed for gold" }],
    });
    const shown = await run(["dlq", "show", id!], "buried");
    expect(shown.stdout).toContain("AGENT_FAILED: the bank is closed for gold\n");
    expect(shown.stdout).toMatch(/input \{ order: 'gold' \}\n$/);
    const task = await run(["task", "show", id!], "buried");
    expect(task.stdout).toContain(`plexus dlq retry ${id}`);
    expect((await run(["task", "watch", id!], "buried")).code).toBe(1);
  });

  it("shows what an agent has written without its power over the terminal, in tables on its line", async () => {
    const [id] = await bury("odd", ["gold\nand\u001B[2J silver"]);
    const odd = /gold( |\\n)and\\x1b\[2J/; // histories have messages on one line
    for (const list of ["task", "dlq"]) {
      const { stdout } = await run([list, "ls"], "odd");
      expect(stdout.split("\n")).toHaveLength(3); // header, row, nothing
      expect(stdout).toMatch(odd);
      const shown = (await run([list, "show", id!], "odd")).stdout;
      expect(shown).not.toContain("\u001B");
      expect(shown.split("\n").find((line) => line.startsWith("1 "))).toMatch(odd);
    }
    expect((await run(["task", "watch", id!], "odd")).stdout).toMatch(odd);
  });

  it("retries one of them, and then all of them", async () => {
    const [one, two, three, four] = await bury("bank", ["a", "b", "c", "d"]);
    await using settler = await startSettler("bank");
    expect(settler.pid).toBeGreaterThan(0);
    expect(await json(["dlq", "retry", one!], "bank")).toEqual({ retried: [one], failed: [] });
    expect((await run(["task", "retry", two!], "bank")).stdout).toBe(`retried ${two}\n`);
    const careless = await run(["dlq", "retry", "--all"], "bank");
    expect(careless.code).toBe(2);
    expect(careless.stderr).toMatch(
      /USAGE: This would retry 2 dead letters\. Say --yes if that is meant\.\n$/,
    );
    const all = ["dlq", "retry", "--all", "--agent", "settler", "--yes"];
    const { retried } = await json<{ retried: string[] }>(all, "bank");
    expect(new Set(retried)).toEqual(new Set([three, four]));
    await vi.waitFor(async () => {
      const completed = await json<TaskStatus[]>(["task", "ls", "--state", "completed"], "bank");
      expect(new Set(completed.map(({ id }) => id))).toEqual(new Set([one, two, three, four]));
    }, 90_000);
    expect(await json(["dlq", "ls"], "bank")).toEqual([]);
  });

  it("discards them; that they have failed is still known", async () => {
    const [one, two] = await bury("attic", ["a", "b"]);
    expect((await run(["dlq", "discard", one!], "attic")).stdout).toBe(`discarded ${one}\n`);
    expect((await run(["dlq", "discard", one!], "attic")).code).toBe(3);
    expect(await json(["dlq", "discard", "--all", "--capability", "nothing"], "attic")).toEqual({
      discarded: [],
      failed: [],
    });
    expect((await run(["dlq", "discard", "--all", "--yes"], "attic")).stdout).toBe("discarded 1\n");
    expect((await run(["dlq", "ls"], "attic")).stdout).toBe("No dead letters in mesh attic.\n");
    expect(await json(["task", "show", two!], "attic")).toMatchObject({ state: "failed" });
  });

  it.each([
    [2, ["dlq"]],
    [2, ["dlq", "retry"]],
    [2, ["dlq", "retry", unknown, "--all"]],
    [2, ["dlq", "retry", unknown, "--agent", "settler"]],
    [3, ["dlq", "show", unknown]],
    [3, ["dlq", "retry", unknown]],
    [3, ["dlq", "discard", "*"]],
    [4, ["dlq", "ls", "--server", "nats://127.0.0.1:1", "--timeout", "300ms"]],
  ])("exits %i for %j", async (code, args) => {
    expect(await run(args)).toMatchObject({ code, stdout: "" });
  });
});
