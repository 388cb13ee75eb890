import { expect, test } from "vitest";
import { inFolder } from "../folder.ts";
import { patient } from "../patient/patient.ts";
import { runTests } from "../run-tests.ts";
import { changed, type Tree } from "../tree.ts";
import { jobsOf } from "../plan.ts";
import type { Job, RuleName } from "./rule.ts";
import { ruleOf } from "./rules.ts";

const never = new AbortController().signal;
const KINDS: readonly RuleName[] = [
  "split",
  "null-check",
  "plain-loop",
  "dead-export",
  "rename",
  "extract",
  "test",
  "unused-import",
  "document",
];

async function done(tree: Tree, job: Job): Promise<Tree> {
  return changed(tree, await ruleOf(job).fix(tree, job, never));
}

test.each([1, 2, 3])(
  "the patient of seed %i has tests that pass, and work for every rule",
  async (seed) => {
    const tree = patient(seed);
    expect(await inFolder(tree, (folder) => runTests(folder, never))).toMatchObject({ failed: 0 });
    const idle = KINDS.filter((rule) => jobsOf(tree, rule).length === 0);
    expect(idle).toEqual(["unused-import", "document"]);
  },
);

test("all the work, one piece after the other, leaves nothing to do and tests that pass", async () => {
  let tree = patient(1);
  for (const rule of KINDS) {
    for (const job of jobsOf(tree, rule)) {
      tree = await done(tree, job);
      expect({ job, left: ruleOf(job).spots(tree, job) }).toEqual({ job, left: [] });
    }
    expect({ rule, ...(await inFolder(tree, (folder) => runTests(folder, never))) }).toMatchObject({
      rule,
      failures: [],
    });
  }
  for (const rule of KINDS) expect({ rule, jobs: jobsOf(tree, rule) }).toEqual({ rule, jobs: [] });
});

test("strict equality the plain way breaks what relies on undefined, and the careful way does not", async () => {
  const tree = patient(1);
  const job: Job = { rule: "strict-equality", subject: "src/discounts.ts" };
  const plain = await inFolder(await done(tree, job), (folder) => runTests(folder, never));
  expect(plain.failures).toContain("getDiscPct is nothing without a coupon");
  const careful = await done(tree, { ...job, careful: true });
  expect(await inFolder(careful, (folder) => runTests(folder, never))).toMatchObject({ failed: 0 });
  expect(ruleOf(job).spots(careful, job)).toEqual([]);
});
