import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { dieWithParent, root, run } from "./child.mjs";
import { withEngine } from "./engine.mjs";
import { seconds } from "./say.mjs";

/** What is checked before any test runs; each counts as one test. */
const checks = [
  { name: "types", command: ["tsc", "-b"] },
  { name: "lint", command: ["oxlint", "--type-aware", "--deny-warnings"] },
  { name: "format", command: ["oxfmt", "--check"] },
  { name: "unused code", command: ["knip"] },
];

/**
 * Runs the checks, then the tests, up to the first of them that fails; with arguments only vitest, which gets them. Ends
 * with the line `N passed, N failed, N skipped`.
 * @returns {Promise<number>} exit code
 */
export async function test({ node, env }, args) {
  const wanted = args.length === 0 ? checks : [];
  for (const [index, { name, command }] of wanted.entries()) {
    const startedMs = performance.now();
    const [program, ...rest] = command;
    // The first failure ends it.
    const { code, output } = await run(program, rest, {
      cwd: root,
      env,
      capture: true,
    });
    if (code !== 0) {
      console.log(`\n✗ ${name} (${command.join(" ")})\n${output.trim()}\n`);
      return summary(index, 1, wanted.length - index); // the checks behind it, and vitest as one
    }
    console.log(`✓ ${name} (${seconds(startedMs)})`);
  }
  const tests = () => vitest(node, env, args, wanted.length);
  const needEngine = args.length === 0 || args.some((arg) => arg.includes("containers"));
  return needEngine ? withEngine(tests) : tests();
}

async function vitest(node, env, args, passedChecks) {
  const folder = mkdtempSync(join(tmpdir(), "plexus-test-"));
  try {
    const report = join(folder, "report.json");
    const { code } = await run(
      node,
      [
        ...dieWithParent,
        join(root, "node_modules", "vitest", "vitest.mjs"),
        "run",
        "--reporter=default",
        "--reporter=json",
        `--outputFile.json=${report}`,
        ...args,
      ],
      { cwd: root, env },
    );
    if (code > 128) return code; // by a signal
    const { passed, failed, skipped, failures } = counts(report);
    for (const failure of failures) console.log(`✗ ${failure}`); // again, where the end of a long log shows them
    // A file that cannot be loaded or an error outside every test fails the run without failing a test.
    return summary(passedChecks + passed, code === 0 ? failed : Math.max(1, failed), skipped);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function counts(report) {
  try {
    const found = JSON.parse(readFileSync(report, "utf8"));
    return {
      passed: found.numPassedTests,
      failed: found.numFailedTests,
      skipped: found.numPendingTests + found.numTodoTests,
      failures: found.testResults.flatMap(failuresOf),
    };
  } catch {
    return { passed: 0, failed: 1, skipped: 0, failures: [] }; // vitest did not get as far as a report
  }
}

/** A line for each failed test of a file, or for the file itself where it could not be loaded. */
function failuresOf({ name, status, message, assertionResults }) {
  const file = relative(root, name);
  const failed = assertionResults.filter((result) => result.status === "failed");
  if (failed.length === 0) return status === "failed" ? [`${file}: ${firstLine(message)}`] : [];
  return failed.map(
    ({ fullName, failureMessages }) =>
      `${file} > ${fullName}: ${firstLine(failureMessages.join())}`,
  );
}

function firstLine(text) {
  return text.split("\n", 1)[0];
}

function summary(passed, failed, skipped) {
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  return failed === 0 ? 0 : 1;
}
