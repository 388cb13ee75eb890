import { brokenImport } from "./broken-import.ts";
import { deadExport } from "./dead-export.ts";
import { document } from "./document.ts";
import { extract } from "./extract.ts";
import { nullCheck } from "./null-check.ts";
import { plainLoop } from "./plain-loop.ts";
import { glossaries, rename } from "./rename.ts";
import type { Job, Rule, RuleName } from "./rule.ts";
import { split } from "./split.ts";
import { strictEquality } from "./strict-equality.ts";
import { test } from "./test.ts";
import { unusedImport } from "./unused-import.ts";

/** All kinds of work. What becomes of a name stands in the job, so one house's rule serves all. */
const RULES: Readonly<Record<RuleName, Rule>> = {
  rename: rename(glossaries[0]),
  extract,
  "strict-equality": strictEquality,
  "plain-loop": plainLoop,
  "null-check": nullCheck,
  "dead-export": deadExport,
  split,
  test,
  document,
  "unused-import": unusedImport,
  "broken-import": brokenImport,
};

export function ruleOf({ rule }: Pick<Job, "rule">): Rule {
  return RULES[rule];
}
