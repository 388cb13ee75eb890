import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { spawnNode, type NodeProcess } from "@plexus/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { main, neutral } from "../support/cli.ts";

const root = join(import.meta.dirname, "..", "..");
const page = readFileSync(join(root, "packages", "workflow", "TUTORIAL.md"), "utf8");
const run = promisify(execFile);
const PATIENCE_MS = 60_000;

const blocks = [...page.matchAll(/```(\w+)\n([\s\S]*?)```/g)].map(([, kind = "", text = ""]) => ({
  kind,
  text,
}));
const programs = blocks.filter(({ kind }) => kind === "ts");

/** What the page shows to be typed, and then seen. */
const typed = blocks
  .filter(({ kind }) => kind === "console")
  .map(({ text }) => {
    const [, command = "", output = ""] = /^\$ (.*)\n([\s\S]*)$/.exec(text)!;
    return { command, output };
  });
const texts = blocks.filter(({ kind }) => kind === "text").map(({ text }) => text);

let folder: string;
let url: string | undefined; // of the broker that the page starts
const opened: NodeProcess[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(root, "test", ".tutorial-"));
  for (const { text } of programs) {
    const [, name = ""] = /^\/\/ (\S+)\n/.exec(text)!;
    writeFileSync(join(folder, name), text);
  }
  const compilerOptions = {
    composite: false,
    declarationMap: false,
    noEmit: true,
    skipLibCheck: true,
    allowImportingTsExtensions: true,
  };
  const config = { extends: "../../tsconfig.base.json", compilerOptions, include: ["*.ts"] };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
});

afterAll(async () => {
  await Promise.all(opened.map((process) => process[Symbol.asyncDispose]()));
  rmSync(folder, { recursive: true, force: true });
});

function start(script: string, args: readonly string[] = []): NodeProcess {
  const env = { ...neutral, PLEXUS_SERVERS: url, NO_COLOR: "1" };
  const process = spawnNode(script, { args: [...args], env, cwd: folder });
  opened.push(process);
  return process;
}

/** Starts what is typed behind `$ plexus`. */
function startPlexus(command: string): NodeProcess {
  const words = command.match(/'[^']*'|\S+/g)!.map((word) => word.replaceAll("'", ""));
  expect(words.shift()).toBe("plexus");
  return start(main, words);
}

/** Everything that a command writes: what happens goes to stderr, and its result, at the end, to stdout. */
async function written(process: NodeProcess): Promise<string> {
  const lines = async (stream: "stdout" | "stderr"): Promise<string[]> => {
    const found: string[] = [];
    for await (const line of process.lines(stream)) found.push(`${line}\n`);
    return found;
  };
  const [stdout, stderr] = await Promise.all([lines("stdout"), lines("stderr")]);
  await process.exited;
  const hint = stderr.filter((line) => line.startsWith("Go on with it")); // it stands behind the result
  return [...stderr.filter((line) => !hint.includes(line)), ...stdout, ...hint].join("");
}

/** Without what differs each time. */
function alike(text: string): string {
  return text
    .replaceAll(/pid: \d+/g, "pid: N")
    .replaceAll(/\b[0-9A-HJKMNP-TV-Z]{26}\b/g, "ID")
    .replaceAll(/nats-server \S+ at \S+/g, "nats-server at URL")
    .replaceAll(/\b(\d+m )?\d+s ago/g, "N ago");
}

test("the programs of the page compile", { timeout: 120_000 }, async () => {
  const tsc = join(root, "node_modules", ".bin", "tsc");
  const { stdout } = await run(tsc, ["-p", folder]).catch((error: { stdout: string }) => error);
  expect(stdout).toBe("");
});

test("the graph runs in one process", { timeout: 120_000 }, async () => {
  expect(await written(start(join(folder, "once.ts")))).toBe(texts[0]);
});

test("LangGraph's graph comes to the same result", { timeout: 120_000 }, async () => {
  const theirs = await written(start(join(folder, "theirs.ts")));
  expect(theirs).toBe(texts[0]!.slice(texts[0]!.indexOf("{")));
});

test(
  "the commands of the page do what it says: one process is killed in the middle, the other one comes to the same result",
  { timeout: 180_000 },
  async () => {
    const [dev, first, second, begun, kill, ...rest] = typed;
    const broker = await startPlexus(dev!.command).waitForLine("at nats", PATIENCE_MS);
    expect(alike(`${broker}\n`)).toBe(alike(dev!.output));
    [url] = /nats:\S+/.exec(broker)!;
    const serving = [first!, second!].map(({ command }) => startPlexus(command));
    for (const [index, process] of serving.entries()) {
      // As in two terminals.
      expect(`${await process.waitForLine("Hosting", PATIENCE_MS)}\n`).toBe(
        typed[index + 1]!.output,
      );
    }
    const running = startPlexus(begun!.command);
    const seen = written(running);
    await expect
      .poll(() => alike(`${running.stderr()}\n`), { timeout: PATIENCE_MS })
      .toBe(alike(begun!.output));
    const pid = Number(/pid: (\d+)/.exec(running.stderr())![1]);
    expect(kill!.command).toMatch(/^kill -9 \d+$/);
    const owner = serving.find((process) => process.pid === pid)!;
    await owner.kill("SIGKILL");
    const whole = await seen;
    expect((await running.exited).code).toBe(6);
    // What the other process tells before the watcher has found it is not heard; all else is as the page has it.
    const told = /^\w+ [·✓] .*\n/gm;
    const after = whole.slice(begun!.output.length - 4 + String(pid).length);
    expect(after.replaceAll(told, "")).toBe(texts[1]!.replaceAll(told, ""));

    for (const { command, output } of rest) {
      // One after the other, as one types them.
      const text = await written(startPlexus(command));
      expect({ command, text: alike(text) }).toEqual({ command, text: alike(output) });
    }
  },
);
