import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";

/** How a project's own tests went. */
export interface TestResult {
  readonly passed: number;
  readonly failed: number;
  /** Names of the tests that failed, and of test files that could not be loaded. */
  readonly failures: readonly string[];
  /** The test files that those are in, such as `test/cart.test.ts`. */
  readonly files: readonly string[];
}

const TIMEOUT_MS = 60_000;

/**
 * Runs the tests of a project in a folder, all in one process of Node's test runner.
 * @param only files to run, as far as they are there; default: all
 */
export async function runTests(
  folder: string,
  signal: AbortSignal,
  only?: readonly string[],
): Promise<TestResult> {
  const files = readdirSync(join(folder, "test"))
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => `test/${name}`)
    .filter((path) => only === undefined || only.includes(path));
  if (files.length === 0) return { passed: 0, failed: 0, failures: [], files: [] };
  const out = await runNode(
    ["--test", "--test-isolation=none", "--test-reporter=tap", ...files],
    folder,
    signal,
  );
  const lines = out.split("\n");
  const count = (name: string): number =>
    Number(lines.findLast((line) => line.startsWith(`# ${name} `))?.slice(name.length + 3) ?? NaN);
  const [passed, failed] = [count("pass"), count("fail")];
  if (Number.isNaN(passed) || Number.isNaN(failed)) {
    throw new Error(`The tests in ${folder} did not run:\n${out.slice(-2_000)}`);
  }
  const failures = lines.flatMap((line) => /^\s*not ok \d+ - (.*)$/.exec(line)?.[1] ?? []);
  const places = lines.flatMap(
    (line) => /^ +location: '.*(test\/[\w.-]+):\d+:\d+'$/.exec(line)?.[1] ?? [],
  );
  return { passed, failed, failures, files: [...new Set(places)] };
}

/** What a Node script prints, however it ends. */
export function runNode(
  args: readonly string[],
  folder: string,
  signal: AbortSignal,
): Promise<string> {
  return new Promise((resolve, reject) => {
    // A test runner within a test runner would report to the outer one.
    const { NODE_TEST_CONTEXT: _, NODE_OPTIONS: __, ...env } = process.env;
    const options = { cwd: folder, signal, timeout: TIMEOUT_MS, env, maxBuffer: 2 ** 26 };
    execFile(process.execPath, [...args], options, (error, stdout, stderr) => {
      if (signal.aborted) reject(signal.reason as Error);
      else if (error !== null && typeof error.code === "string") reject(error);
      else resolve(`${stdout}\n${stderr}`);
    });
  });
}
