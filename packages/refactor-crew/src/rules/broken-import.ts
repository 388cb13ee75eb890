import { exportsOf, listsOf, sourcesOf, withImport, withLists } from "../module.ts";
import { namesIn, splice } from "../syntax.ts";
import { importPath, resolveImport, type Tree } from "../tree.ts";
import { glossaries, spelledOut } from "./rename.ts";
import type { Rule, Spot } from "./rule.ts";

/**
 * Mends imports of names that are not where they were: the name may have moved to another module, or somebody has spelled
 * it out meanwhile.
 */
export const brokenImport: Rule = {
  subjects: (tree) =>
    [...tree.keys()]
      .filter((path) => broken(tree, path).length > 0)
      .map((subject) => ({ subject })),
  spots: (tree, { subject }) => broken(tree, subject),
  fix(tree, { subject }) {
    let text = tree.get(subject)!;
    for (const { key } of broken(tree, subject)) text = mended(tree, subject, text, key);
    return new Map([[subject, text]]);
  },
  brief:
    "These names are not exported where they are imported from. Find out what they are called now, or where they have moved, and mend the imports and uses.",
  title: ({ subject }) => `mend imports of ${subject}`,
};

function broken(tree: Tree, path: string): Spot[] {
  const text = path.endsWith(".ts") ? tree.get(path) : undefined;
  if (text === undefined) return [];
  return listsOf(text)
    .filter(({ kind, from }) => kind !== "import type" && from.startsWith("."))
    .flatMap(({ from, names }) => {
      const there = exportsOf(tree.get(resolveImport(path, from)) ?? "");
      return names.filter((name) => !there.includes(name)).map((key) => ({ path, key }));
    });
}

/** The text as it was if there is nothing that the name could mean. */
function mended(tree: Tree, path: string, text: string, name: string): string {
  const meant = new Set([name, ...glossaries.map((glossary) => spelledOut(name, glossary))]);
  const candidates = sourcesOf(tree).flatMap(([home, code]) =>
    home === "src/index.ts" || home === path
      ? []
      : exportsOf(code).map((exported) => ({ home, exported })),
  );
  const found = candidates.find(({ exported }) => meant.has(exported));
  if (found === undefined) return text;
  const { home, exported } = found;
  const list = listsOf(text).find(({ names }) => names.includes(name))!;
  const left = list.names.filter((one) => one !== name);
  if (list.kind === "export") {
    const from = importPath(path, home);
    const rest = withLists(text, [{ at: list, list: { ...list, names: left } }]);
    return `${rest}export {\n  ${exported},\n} from "${from}";\n`;
  }
  const without = withLists(text, [{ at: list, list: { ...list, names: left } }]);
  const renamed = splice(
    without,
    namesIn(without, name).map(({ node: { start, end } }) => ({ start, end, text: exported })),
  );
  return withImport(path, renamed, exported, home);
}
