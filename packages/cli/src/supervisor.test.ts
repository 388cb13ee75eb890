import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test, vi } from "vitest";
import { Supervisor, type ProcessEvent, type SupervisorOptions } from "./supervisor.ts";

const folder = mkdtempSync(join(tmpdir(), "plexus-supervisor-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const backoff = { firstMs: 20, maxMs: 60, factor: 2 };
let scripts = 0;

function script(text: string): string {
  scripts += 1;
  const file = join(folder, `script-${scripts}.mjs`);
  writeFileSync(file, text);
  return file;
}

/** A supervisor that writes down what happens. */
function supervise(options: Partial<SupervisorOptions> = {}) {
  const events: ProcessEvent[] = [];
  const supervisor = new Supervisor({
    backoff,
    onEvent: (event) => events.push(event),
    ...options,
  });
  const names = (): string[] => events.map(({ event }) => event);
  /** So often at least: more may happen between two looks. */
  const seen = (event: ProcessEvent["event"], times = 1) =>
    vi.waitFor(() => {
      const found = names().filter((name) => name === event);
      expect(found.length).toBeGreaterThanOrEqual(times);
    }, 90_000);
  return { supervisor, events, names, seen };
}

const lives = `setInterval(() => {}, 1_000); process.on("SIGTERM", () => process.exit(0)); console.log("up");`;

test("a process is told of from its start to its stop, with its lines", async () => {
  const { supervisor, events, seen } = supervise();
  const env = { WORD: "hello" };
  supervisor.start({
    name: "p",
    script: script(
      `console.log(process.env.WORD, process.argv[2]); console.error("err"); ${lives}`,
    ),
    args: ["arg"],
    env,
  });
  await seen("line", 3);
  await supervisor[Symbol.asyncDispose]();
  expect(
    events
      .map((event) => ("line" in event ? `${event.stream} ${event.line}` : event.event))
      .toSorted(),
  ).toEqual(["started", "stderr err", "stdout hello arg", "stdout up", "stopped"]);
});

test("a crash is followed by a new start, later each time up to the limit", async () => {
  const { supervisor, events, seen } = supervise();
  supervisor.start({ name: "p", script: script("process.exit(3)") });
  await seen("restarting", 4);
  await supervisor[Symbol.asyncDispose]();
  const delays = events.flatMap((event) => (event.event === "restarting" ? [event.inMs] : []));
  expect(delays.slice(0, 4)).toEqual([20, 40, 60, 60]);
  expect(events.find(({ event }) => event === "crashed")).toMatchObject({ code: 3, signal: null });
});

test("a process that ran well for a while begins with the shortest delay again", async () => {
  const { supervisor, events, seen } = supervise({ stableMs: 0 });
  supervisor.start({ name: "p", script: script("process.exit(3)") });
  await seen("restarting", 3);
  await supervisor[Symbol.asyncDispose]();
  const delays = events.flatMap((event) => (event.event === "restarting" ? [event.inMs] : []));
  expect(delays.slice(0, 3)).toEqual([20, 20, 20]);
});

test("a process killed by a signal counts as crashed", async () => {
  const { supervisor, events, seen } = supervise();
  supervisor.start({ name: "p", script: script(lives) });
  await seen("line");
  const [started] = events;
  process.kill((started as { pid: number }).pid, "SIGKILL");
  await seen("started", 2);
  await supervisor[Symbol.asyncDispose]();
  expect(events.find(({ event }) => event === "crashed")).toMatchObject({ signal: "SIGKILL" });
});

test("a process that the supervisor is told to kill is started again", async () => {
  const { supervisor, events, seen } = supervise();
  supervisor.start({ name: "p", script: script(lives) });
  await seen("line");
  expect(supervisor.kill("p")).toBe(true);
  await seen("started", 2);
  await supervisor.stop("p");
  expect(supervisor.kill("p")).toBe(false);
  await supervisor[Symbol.asyncDispose]();
  expect(events.find(({ event }) => event === "crashed")).toMatchObject({ signal: "SIGKILL" });
});

test("a process that is done is not started again", async () => {
  const { supervisor, names, seen } = supervise();
  supervisor.start({ name: "p", script: script("") });
  await seen("ended");
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(names()).toEqual(["started", "ended"]);
  await supervisor[Symbol.asyncDispose]();
});

test("a process that ignores SIGTERM is killed", async () => {
  const { supervisor, events, seen } = supervise({ stopTimeoutMs: 100 });
  supervisor.start({
    name: "p",
    script: script(
      `process.on("SIGTERM", () => {}); setInterval(() => {}, 1_000); console.log("up")`,
    ),
  });
  await seen("line");
  await supervisor.stop("p");
  expect(events.at(-1)).toMatchObject({ event: "stopped", signal: "SIGKILL" });
});

test("a restart waits for the end of the old process", async () => {
  const { supervisor, names, seen } = supervise();
  supervisor.start({ name: "p", script: script(lives) });
  await seen("line");
  await supervisor.restart("p");
  await seen("line", 2);
  expect(names()).toEqual(["started", "line", "stopped", "started", "line"]);
  await supervisor[Symbol.asyncDispose]();
});

test("a restart ends the wait after a crash", async () => {
  const slow = { firstMs: 60_000, maxMs: 60_000, factor: 1 };
  const { supervisor, names, seen } = supervise({ backoff: slow });
  supervisor.start({ name: "p", script: script("process.exit(1)") });
  await seen("restarting");
  await supervisor.restart("p");
  await seen("restarting", 2);
  await supervisor[Symbol.asyncDispose]();
  expect(names().filter((name) => name === "started")).toHaveLength(2);
});

test("nothing starts once the supervisor is disposed of", async () => {
  const { supervisor, names, seen } = supervise();
  supervisor.start({ name: "p", script: script(lives) });
  await seen("line");
  await Promise.all([supervisor.restart("p"), supervisor[Symbol.asyncDispose]()]);
  supervisor.start({ name: "q", script: script(lives) });
  expect(names()).toEqual(["started", "line", "stopped"]);
});
