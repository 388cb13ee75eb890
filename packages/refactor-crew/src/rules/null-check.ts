import { sourcesOf, withImport } from "../module.ts";
import { parse, splice, type Syntax, textOf, walk } from "../syntax.ts";
import type { Tree } from "../tree.ts";
import { byFile, homeOf, type Rule, type Spot } from "./rule.ts";

const HOME = "src/present.ts";
const CODE = `/** The value, or an error that says what is missing. */
export function present<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error("There is no " + what + ".");
  return value;
}
`;

/** `map.get(key)!`, which trusts that something is there, becomes a check that says what is missing. */
export const nullCheck: Rule = {
  subjects: (tree) => byFile(allSpots(tree)),
  spots: (tree, { subject }) => allSpots(tree).filter(({ path }) => homeOf(path) === subject),
  reads: (tree, { subject }) => [
    HOME,
    ...new Set(allSpots(tree).flatMap(({ path }) => (homeOf(path) === subject ? [path] : []))),
  ],
  fix: (tree, { subject }) =>
    new Map([
      [HOME, tree.get(HOME) ?? CODE],
      ...sourcesOf(tree)
        .filter(([path]) => homeOf(path) === subject)
        .filter(([, text]) => trusting(text).length > 0)
        .map(([path, text]) => [path, withImport(path, checked(text), "present", HOME)] as const),
    ]),
  brief:
    '`map.get(key)!` trusts that something is there. Use `present(map.get(key), "…")`, exported by src/present.ts, which throws an Error that says what is missing; make that module if it is not there.',
  title: ({ subject }) => `check for what is missing in ${subject}`,
};

function allSpots(tree: Tree): Spot[] {
  return sourcesOf(tree).flatMap(([path, text]) =>
    trusting(text).map((node) => ({ path, key: textOf(text, node) })),
  );
}

function trusting(text: string): Syntax[] {
  const found: Syntax[] = [];
  walk(parse(text), (node) => {
    const call = node["expression"] as Syntax | undefined;
    if (node.type !== "TSNonNullExpression" || call?.type !== "CallExpression") return;
    const callee = call["callee"] as Syntax;
    if (callee.type !== "MemberExpression") return;
    if ((callee["property"] as Syntax)["name"] === "get") found.push(node);
  });
  return found;
}

function checked(text: string): string {
  return splice(
    text,
    trusting(text).map((node) => {
      const call = node["expression"] as Syntax;
      const map = textOf(text, (call["callee"] as Syntax)["object"] as Syntax);
      const { start, end } = node;
      return { start, end, text: `present(${textOf(text, call)}, "such entry in ${map}")` };
    }),
  );
}
