import { inFolder } from "../folder.ts";
import { functionsOf, listsOf, sourcesOf, tidy, withImport } from "../module.ts";
import { runNode } from "../run-tests.ts";
import { namesIn, type Syntax } from "../syntax.ts";
import { resolveImport, type Tree } from "../tree.ts";
import { byFile, homeOf, type Rule, type Spot, testOf } from "./rule.ts";

/** What a function is called with, by the type of its parameter. */
const SAMPLES: Readonly<Record<string, string>> = {
  TSNumberKeyword: "7",
  TSStringKeyword: '"12345"',
  TSBooleanKeyword: "true",
};
const HEAD = 'import assert from "node:assert/strict";\nimport { test } from "node:test";\n';

/** What JSON cannot say, such as NaN, comes out as an empty line. */
const PRINT = `import { isDeepStrictEqual } from "node:util";
function print(value: unknown): void {
  const text = JSON.stringify(value) ?? "";
  console.log(text !== "" && isDeepStrictEqual(JSON.parse(text), value) ? text : "");
}
`;

/**
 * Writes tests for exported functions that have none: they are run, and what they give is what the tests expect from now
 * on. So each test stands on the version that was read.
 */
export const test: Rule = {
  subjects: (tree) => byFile(allSpots(tree)),
  spots: (tree, { subject }) => allSpots(tree).filter(({ path }) => homeOf(path) === subject),
  reads(tree, { subject }) {
    const paths = allSpots(tree).flatMap(({ path }) => (homeOf(path) === subject ? [path] : []));
    return [...new Set([testOf(subject), ...paths.flatMap((path) => dependencies(tree, path))])];
  },
  async fix(tree, { subject }, signal) {
    const path = testOf(subject);
    const spots = allSpots(tree).filter((spot) => homeOf(spot.path) === subject);
    const results = await run(tree, spots, signal);
    let text = tree.get(path) ?? HEAD;
    for (const { path: home, key, call, result } of results) {
      text = withImport(path, text, key, home);
      text += `\ntest("${key} gives what it gave", () => {\n  assert.deepEqual(${call}, ${result});\n});\n`;
    }
    return new Map([[path, tidy(text)]]);
  },
  brief:
    "These exported functions have no test. Write tests with node:test and node:assert/strict that import each of them and pass.",
  title: ({ subject }) => `test what is untested of ${subject}`,
};

/** Exported functions that take plain values and that no test imports. */
function allSpots(tree: Tree): Spot[] {
  const tests = [...tree].filter(([path]) => path.startsWith("test/"));
  return sourcesOf(tree).flatMap(([path, text]) =>
    functionsOf(text)
      .filter(({ node, isExported }) => isExported && callOf("", node) !== undefined)
      .filter(({ name }) => tests.every(([, code]) => namesIn(code, name).length === 0))
      .map(({ name }) => ({ path, key: name })),
  );
}

/** A call with samples; undefined for a function that takes other things. */
function callOf(name: string, node: Syntax): string | undefined {
  const samples = (node["params"] as Syntax[]).map((param) => {
    const annotation = param["typeAnnotation"] as Syntax | undefined;
    return SAMPLES[(annotation?.["typeAnnotation"] as Syntax | undefined)?.type ?? ""];
  });
  return samples.includes(undefined) ? undefined : `${name}(${samples.join(", ")})`;
}

async function run(
  tree: Tree,
  spots: readonly Spot[],
  signal: AbortSignal,
): Promise<(Spot & { call: string; result: string })[]> {
  const calls = spots.map(({ path, key }) => {
    const { node } = functionsOf(tree.get(path)!).find(({ name }) => name === key)!;
    return { path, key, call: callOf(key, node)! };
  });
  const script = calls
    .map(
      ({ path, key, call }) => `{ const { ${key} } = await import("./${path}"); print(${call}); }`,
    )
    .join("\n");
  const out = await inFolder(new Map([...tree, ["run.ts", PRINT + script]]), (folder) =>
    runNode(["run.ts"], folder, signal),
  );
  const results = out.split("\n");
  return calls.flatMap((one, index) => {
    const result = results[index] ?? "";
    return result === "" ? [] : [{ ...one, result }];
  });
}

/** A module and all that it stands on. */
function dependencies(tree: Tree, path: string, found = new Set<string>()): string[] {
  if (found.has(path)) return [];
  found.add(path);
  for (const { from, kind } of listsOf(tree.get(path) ?? "")) {
    if (kind !== "import type") dependencies(tree, resolveImport(path, from), found);
  }
  return [...found];
}
