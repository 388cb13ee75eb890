import { execFileSync } from "node:child_process";
import type { Action } from "@plexus/refactor-crew";
import { expect, test } from "vitest";
import { plexus } from "../support/cli.ts";
import { crew } from "../support/crew.ts";

type Clashed = Extract<Action, { kind: "clashed" }>;

function git(folder: string, ...args: string[]): string[] {
  const out = execFileSync("git", args, { cwd: folder, encoding: "utf8" });
  return out.split("\n").filter((line) => line !== "");
}

function runTests(folder: string): string {
  const { NODE_TEST_CONTEXT: _, NODE_OPTIONS: __, ...env } = process.env;
  return execFileSync(process.execPath, ["--test", "--test-reporter=tap", "test/*.test.ts"], {
    cwd: folder,
    encoding: "utf8",
    env,
  });
}

test("five agents refactor one workspace, and some are killed, and the broker: no edit is lost, the project's tests pass", async () => {
  const { code, stderr, result, out, actions } = await crew([
    "--seconds",
    "8",
    "--seed",
    "1",
    "--chaos",
  ]);
  expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
  expect(result).toMatchObject({ kept: true, lostEdits: 0, lost: [], missing: [] });
  expect(result.tests.failed).toBe(0);
  expect(result.edits).toBeGreaterThan(120);
  expect(result.kills!.agents).toBeGreaterThan(0);
  expect(result.kills!.broker).toBe(1);
  expect(runTests(out)).toContain(`# pass ${result.tests.passed}\n# fail 0`);

  const history = git(out, "log", "--reverse", "--format=%an");
  expect(history).toHaveLength(result.commits);
  expect(git(out, "status", "--short")).toEqual([]);
  const agents = ["founder", "generator-1", "generator-2", "integrator", "reviewer", "tester"];
  expect(agents).toEqual(expect.arrayContaining([...new Set(history)]));

  const clashes = actions.filter((one): one is Clashed => one.kind === "clashed");
  const merged = clashes.find(({ strategy, landed }) => strategy === "merge" && landed);
  const skewed = clashes.find(
    ({ agent, files }) => agent === "tester" && files.some(({ type }) => type === "read/write"),
  );
  const voted = clashes.find(({ strategy }) => strategy === "vote");
  const kinds = { merged, skewed, voted };
  expect(Object.entries(kinds).filter(([, clash]) => clash === undefined)).toEqual([]);
  for (const clash of Object.values(kinds)) {
    const { path, base, theirs } = clash!.files[0]!;
    expect(path).toMatch(/^(src|test)\//);
    for (const { version, by, title } of theirs) {
      expect(version).toBeGreaterThan(base);
      expect(history[version - 1]).toBe(by);
      expect(title).not.toBe("");
    }
  }
  // It looks again: at what is there now, or finds that there is nothing left to test.
  const next = actions
    .slice(actions.indexOf(skewed!) + 1)
    .find((one) => (one.kind === "took" || one.kind === "dropped") && one.job === skewed!.job);
  expect(next).toBeDefined();
}, 240_000);

test("the same agents in a plain folder overwrite each other: edits are lost, and counted", async () => {
  const { code, stderr, result, out } = await crew([
    "--seconds",
    "4",
    "--seed",
    "1",
    "--jobs",
    "20",
    "--uncoordinated",
  ]);
  expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
  expect(result.lostEdits).toBeGreaterThan(0);
  expect(result.overwritten).toBeGreaterThan(0);
  expect(result.tests.failed).toBeGreaterThan(0);
  expect(git(out, "status", "--short").length).toBeGreaterThan(0);
}, 120_000);

test("options that make no sense are refused before anything starts", async () => {
  const bad = [
    ["--agents", "4"],
    ["--seconds", "0"],
    ["--seed", "x"],
    ["--out", import.meta.dirname],
  ];
  const runs = await Promise.all(bad.map((args) => plexus(["demo", "crew", ...args])));
  for (const { code, stderr } of runs) {
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining("USAGE") });
  }
}, 60_000);
