import { shuffled, uniform } from "../random.ts";
import type { Tree } from "../tree.ts";
import { HELPERS, SAMPLES, TYPES } from "./common.ts";
import { goods } from "./goods.ts";
import { orders } from "./orders.ts";
import type { Part } from "./part.ts";
import { people } from "./people.ts";

const MANIFEST = {
  name: "kiosk",
  private: true,
  type: "module",
  engines: { node: ">=22.18" }, // the first that runs TypeScript
  scripts: { test: "node --test test/*.test.ts" },
};
/** The share of tests that nobody has written yet. */
const UNTESTED = 0.3;
const TYPE_NAMES = [...TYPES.matchAll(/interface (\w+)/g)].map((match) => match[1]!);
const SAMPLE_NAMES = [...SAMPLES.matchAll(/export function (\w+)/g)].map((match) => match[1]!);

/**
 * The project that the crew refactors: `kiosk`, a small shop whose code has been copied, abbreviated and never cleaned up.
 * Its tests pass. The seed decides the order of functions in their files and which tests are missing.
 */
export function patient(seed: number): Tree {
  const parts = [...goods, ...orders, ...people];
  const homes = new Map(parts.flatMap((part) => exportsOf(part).map((name) => [name, part.name])));
  const tree = new Map([
    ["package.json", `${JSON.stringify(MANIFEST, null, 2)}\n`],
    ["src/types.ts", TYPES],
    ["test/samples.ts", SAMPLES],
    ["src/index.ts", indexOf(parts)],
  ]);
  for (const part of parts) {
    tree.set(`src/${part.name}.ts`, sourceOf(part, homes, seed));
    const tests = testsOf(part, homes, seed);
    if (tests !== undefined) tree.set(`test/${part.name}.test.ts`, tests);
  }
  return new Map([...tree].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function exportsOf({ code }: Part): string[] {
  return [...code.matchAll(/export function (\w+)/g)].map((match) => match[1]!);
}

function indexOf(parts: readonly Part[]): string {
  const lists = parts.map((part) => {
    const names = exportsOf(part).filter((name) => !(part.dead ?? []).includes(name));
    return `export {\n${names.map((name) => `  ${name},\n`).join("")}} from "./${part.name}.ts";\n`;
  });
  return lists.toSorted().join("");
}

function sourceOf(part: Part, homes: ReadonlyMap<string, string>, seed: number): string {
  const blocks = blocksOf(part.code);
  const ordered = blocks.some((block) => block.startsWith("// ---"))
    ? blocks
    : shuffled(blocks, seed, part.name);
  const helpers = Object.entries(HELPERS).filter(([name]) => mentions(part.code, name));
  const types = TYPE_NAMES.filter((name) => mentions(part.code, name));
  const lists = [
    ...(types.length === 0
      ? []
      : [`import type { ${types.toSorted().join(", ")} } from "./types.ts";`]),
    ...importLists(part.code, homes, part.name).map(
      ([home, names]) => `import { ${names.join(", ")} } from "./${home}.ts";`,
    ),
  ];
  return page([lists.join("\n"), ...ordered, ...helpers.map(([, code]) => code)]);
}

function testsOf(part: Part, homes: ReadonlyMap<string, string>, seed: number): string | undefined {
  const tests = blocksOf(part.tests).filter((block) => {
    const name = /test\("(\w+)/.exec(block)![1]!;
    return part.tested?.includes(name) === true || uniform(seed, "test", name) >= UNTESTED;
  });
  if (tests.length === 0) return undefined;
  const text = tests.join("\n");
  const samples = SAMPLE_NAMES.filter((name) => new RegExp(`(?<!\\.)\\b${name}\\(`).test(text));
  const lists = [
    `import assert from "node:assert/strict";`,
    `import { test } from "node:test";`,
    ...importLists(text, homes).map(
      ([home, names]) => `import { ${names.join(", ")} } from "../src/${home}.ts";`,
    ),
    ...(samples.length === 0 ? [] : [`import { ${samples.join(", ")} } from "./samples.ts";`]),
  ];
  return page([lists.join("\n"), ...tests]);
}

/** Names of other modules that a text uses, by module. */
function importLists(
  text: string,
  homes: ReadonlyMap<string, string>,
  own?: string,
): [string, string[]][] {
  const lists = new Map<string, string[]>();
  for (const [name, home] of homes) {
    if (home === own || !mentions(text.replaceAll(/"[^"\n]*"/g, '""'), name)) continue;
    lists.set(home, [...(lists.get(home) ?? []), name].toSorted());
  }
  return [...lists].toSorted(([a], [b]) => (a < b ? -1 : 1));
}

function blocksOf(text: string): string[] {
  return text.trim().split(/\n\n(?=\/\*\*|test|\/\/ ---)/);
}

function mentions(text: string, name: string): boolean {
  return new RegExp(`\\b${name}\\b`).test(text);
}

function page(blocks: readonly string[]): string {
  return `${blocks.filter((block) => block !== "").join("\n\n")}\n`;
}
