import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Action } from "@plexus/refactor-crew";
import { onTestFinished } from "vitest";
import { plexus } from "./cli.ts";

/** The last line of `plexus demo crew --json`. */
export interface CrewResult {
  readonly kept: boolean;
  readonly changes: number;
  readonly edits: number;
  readonly lostEdits: number;
  readonly lost: readonly unknown[];
  readonly missing: readonly string[];
  readonly tests: { readonly passed: number; readonly failed: number; readonly failures: string[] };
  readonly conflicts: Readonly<Record<string, number>>;
  readonly overwritten: number;
  readonly commits: number;
  readonly kills?: { readonly agents: number; readonly broker: number };
  readonly out: string;
}

/** How a run of the crew ended, what was told meanwhile, and where the project is. */
export interface CrewRun {
  readonly code: number | null;
  readonly stderr: string;
  readonly actions: readonly Action[];
  readonly result: CrewResult;
  readonly out: string;
}

/** Runs `plexus demo crew --json ...args` to its end. What it leaves is removed with the test. */
export async function crew(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<CrewRun> {
  const out = await mkdtemp(join(tmpdir(), "plexus-crew-test-"));
  onTestFinished(async () => {
    const beside = [out, `${out}.log`, `${out}.log.saves`];
    await Promise.all(beside.map((path) => rm(path, { recursive: true, force: true })));
  });
  const all = ["demo", "crew", "--json", "--out", out, ...args];
  const { code, stdout, stderr } = await plexus(all, { env });
  const lines = stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as { kind: string });
  const actions = lines.slice(0, -1) as unknown as Action[];
  return { code, stderr, actions, result: lines.at(-1) as unknown as CrewResult, out };
}
