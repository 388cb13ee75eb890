import { functionsOf, sourcesOf } from "../module.ts";
import { namesIn, parse, splice, type Syntax, walk } from "../syntax.ts";
import { type Rule, testOf } from "./rule.ts";

/** What short words stand for, in one house's opinion. */
export type Glossary = Readonly<Record<string, string>>;

const COMMON: Glossary = {
  addr: "address",
  amt: "amount",
  avail: "available",
  avg: "average",
  cnt: "count",
  cust: "customer",
  disc: "discount",
  est: "estimate",
  inv: "invoice",
  pct: "percent",
  tot: "total",
  wgt: "weight",
};

/** Two houses, which agree on most words. */
export const glossaries: readonly [Glossary, Glossary] = [
  { ...COMMON, qty: "quantity" },
  { ...COMMON, qty: "units" },
];

/** A name in full words: `calcCartTot` to `calculateCartTotal`. */
export function spelledOut(name: string, glossary: Glossary): string {
  return name
    .split(/(?=[A-Z])/)
    .map((word, index) => {
      const full = glossary[word.toLowerCase()] ?? word;
      return index === 0 ? full : full.slice(0, 1).toUpperCase() + full.slice(1);
    })
    .join("");
}

/** Spells out abbreviated names of exported functions, everywhere at once. */
export function rename(glossary: Glossary): Rule {
  return {
    subjects: (tree) =>
      sourcesOf(tree)
        .flatMap(([, text]) => functionsOf(text))
        .filter(({ isExported, name }) => isExported && spelledOut(name, glossary) !== name)
        .map(({ name }) => ({ subject: name, to: spelledOut(name, glossary) })),
    spots: (tree, { subject }) =>
      [...tree].flatMap(([path, text]) =>
        placesOf(path, text, subject).map(() => ({ path, key: subject })),
      ),
    reads(tree, { subject }) {
      const places = [...tree].filter(([path, text]) => placesOf(path, text, subject).length > 0);
      // Its tests may begin to use it, even if there are none yet.
      const tests = places.flatMap(([path, text]) =>
        functionsOf(text).some(({ name }) => name === subject) ? [testOf(path)] : [],
      );
      return [...new Set([...places.map(([path]) => path), ...tests])];
    },
    fix: (tree, { subject, to }) =>
      new Map(
        [...tree].flatMap(([path, text]) => {
          const places = placesOf(path, text, subject);
          if (places.length === 0) return [];
          const splices = places.map(({ start, isShorthand }) => ({
            start,
            end: start + subject.length,
            text: isShorthand ? `${subject}: ${to}` : to!,
          }));
          return [[path, splice(text, splices)]];
        }),
      ),
    brief:
      "Rename the exported function, and every use of it, in all files: imports, re-exports, calls, and titles of tests that begin with its name.",
    title: ({ subject, to }) => `rename ${subject} to ${to}`,
  };
}

/** Where a name stands, in titles of tests as well. */
function placesOf(
  path: string,
  text: string,
  name: string,
): { start: number; isShorthand: boolean }[] {
  if (!path.endsWith(".ts") || !text.includes(name)) return [];
  const places = namesIn(text, name).map(({ node, parent }) => ({
    start: node.start,
    isShorthand: parent?.type === "Property" && parent["shorthand"] === true,
  }));
  walk(parse(text), (node) => {
    if (isTitle(node, name)) places.push({ start: node.start + 1, isShorthand: false });
  });
  return places;
}

function isTitle(node: Syntax, name: string): boolean {
  return node.type === "Literal" && String(node["value"]).startsWith(`${name} `);
}
