import { functionsOf, listsOf, tidy, withLists, withoutFunctions } from "../module.ts";
import { namesIn } from "../syntax.ts";
import type { Tree } from "../tree.ts";
import type { Rule, Spot } from "./rule.ts";

/** Removes imports and local helpers that nothing in their module uses any more. */
export const unusedImport: Rule = {
  subjects: (tree) =>
    [...tree.keys()]
      .filter((path) => unused(tree, path).length > 0)
      .map((subject) => ({ subject })),
  spots: (tree, { subject }) => unused(tree, subject),
  fix: (tree, { subject }) => new Map([[subject, withoutUnused(tree.get(subject)!)]]),
  brief: "Remove these imports and local functions, which nothing in the module uses.",
  title: ({ subject }) => `remove what ${subject} no longer uses`,
};

/** A module without helpers and imports that nothing in it uses. */
export function withoutUnused(text: string): string {
  const rest = withoutFunctions(text, unusedHelpers(text));
  const lists = listsOf(rest).map((list) => ({
    at: list,
    list: {
      ...list,
      names: list.names.filter((name) => list.kind === "export" || isUsed(rest, name)),
    },
  }));
  return tidy(withLists(rest, lists));
}

function unused(tree: Tree, path: string): Spot[] {
  const text = path.endsWith(".ts") ? tree.get(path) : undefined;
  if (text === undefined) return [];
  const imported = listsOf(text).flatMap(({ kind, names }) => (kind === "export" ? [] : names));
  const names = [...imported.filter((name) => !isUsed(text, name)), ...unusedHelpers(text)];
  return names.map((key) => ({ path, key }));
}

function unusedHelpers(text: string): string[] {
  return functionsOf(text)
    .filter(({ name, isExported }) => !isExported && !isUsed(text, name))
    .map(({ name }) => name);
}

/** Beside the place where it is declared. */
function isUsed(text: string, name: string): boolean {
  return namesIn(text, name).length > 1;
}
