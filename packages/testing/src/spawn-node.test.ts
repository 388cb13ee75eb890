import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { spawnNode } from "./spawn-node.ts";

let directory: string;
let ticker: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "plexus-test-"));
  ticker = await script(
    "ticker.mjs",
    `process.on("SIGTERM", () => { console.log("bye"); process.exit(7); });
     console.log("hello", ...process.argv.slice(2), process.env.WHO, process.env.PATH === undefined);
     console.error("a warning");
     let n = 0;
     setInterval(() => console.log("tick " + n++), 10);`,
  );
});
afterAll(() => rm(directory, { recursive: true }));

async function script(name: string, text: string): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, text);
  return path;
}

test("a child gets its arguments and environment", async () => {
  await using child = spawnNode(ticker, {
    args: ["a", "b c"],
    env: { WHO: "me", PATH: undefined },
  });
  expect(await child.waitForLine("hello")).toBe("hello a b c me true");
});

test("a TypeScript file runs as it is", async () => {
  const file = await script("typed.ts", `const text: string = "typed"; console.log(text);`);
  await using child = spawnNode(file);
  await child.waitForLine(/^typed$/);
  expect(await child.exited).toEqual({ code: 0, signal: null });
});

test("lines come from the first on, to every reader, and end with the process", async () => {
  await using child = spawnNode(ticker);
  await child.waitForLine("tick 5");
  await child.kill("SIGTERM");
  const [first, second] = [[], []] as [string[], string[]];
  for await (const line of child.lines()) first.push(line);
  for await (const line of child.lines()) second.push(line);
  expect(first[0]).toMatch(/^hello/);
  expect(first.at(-1)).toBe("bye");
  expect(second).toEqual(first);
});

test("a signal ends a child in its own way, also when it is paused", async () => {
  await using child = spawnNode(ticker);
  await child.waitForLine("hello");
  await child.pause();
  expect(await child.kill("SIGTERM")).toEqual({ code: 7, signal: null });
  expect(await child.kill()).toEqual({ code: 7, signal: null });
});

test("a paused child does nothing until it is resumed", async () => {
  await using child = spawnNode(ticker);
  await child.waitForLine("tick 1");
  await child.pause();
  await sleep(50);
  const lines = child.lines();
  const count = async () => {
    let seen = 0;
    while ((await Promise.race([lines.next(), sleep(100)])) !== undefined) seen += 1;
    return seen;
  };
  expect(await count()).toBeGreaterThan(1);
  expect(await count()).toBe(0);
  child.resume();
  await child.waitForLine(/tick \d{2}/);
});

test("waiting for a line that never comes fails with what went wrong", async () => {
  await using child = spawnNode(ticker);
  await child.waitForLine("tick 0");
  await expect(child.waitForLine("tock", 50)).rejects.toThrow(/tock within 50 ms[^]*a warning/);
  await using broken = spawnNode(join(directory, "missing.mjs"));
  await expect(broken.waitForLine("x")).rejects.toThrow(/before it ended[^]*Cannot find module/);
});

test("disposing kills the child", async () => {
  let pid: number;
  {
    await using child = spawnNode(ticker);
    await child.waitForLine("hello");
    pid = child.pid;
  }
  expect(() => process.kill(pid, 0)).toThrow("ESRCH");
});
