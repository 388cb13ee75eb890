import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { FAILURES } from "./failure.ts";

const readme = readFileSync(join(import.meta.dirname, "..", "README.md"), "utf8");

test("the README's table of failures says what the code does", () => {
  const rows = [...readme.matchAll(/^\| `(\w+)` +\|[^|]+\|(.+)\|$/gm)].flatMap(([, kind, rest]) => {
    const [code, breaker, retry, fallback, charge] = rest!.split("|").map((cell) => cell.trim());
    if (charge === undefined) return [];
    const rule = {
      code: code!.replaceAll("`", ""),
      breaker,
      retry: retry === "yes",
      fallback: fallback === "yes",
      charge,
    };
    return [[kind!, rule] as const];
  });
  expect(Object.fromEntries(rows)).toEqual(FAILURES);
});
