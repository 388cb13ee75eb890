import { functionsOf, importersOf, sourcesOf, withoutFunctions } from "../module.ts";
import { namesIn } from "../syntax.ts";
import type { Tree } from "../tree.ts";
import { byFile, homeOf, type Rule, type Spot, testOf } from "./rule.ts";

/** Removes exported functions that nobody uses. What they alone used stays: that is for who reviews. */
export const deadExport: Rule = {
  subjects: (tree) => byFile(allSpots(tree)),
  spots: (tree, { subject }) => allSpots(tree).filter(({ path }) => homeOf(path) === subject),
  reads(tree, { subject }) {
    const paths = allSpots(tree).flatMap(({ path }) => (homeOf(path) === subject ? [path] : []));
    // Whoever imports from there might begin to use it; so might the tests, even if there are none yet.
    const others = paths.flatMap((path) => [...importersOf(tree, path), testOf(path)]);
    return [...new Set([...paths, ...others])];
  },
  fix(tree, { subject }) {
    const changes = new Map<string, string>();
    for (const { path, key } of allSpots(tree)) {
      if (homeOf(path) !== subject) continue;
      changes.set(path, withoutFunctions(changes.get(path) ?? tree.get(path)!, [key]));
    }
    return changes;
  },
  brief: "Nobody uses these exported functions. Remove them with their comments.",
  title: ({ subject }) => `remove dead exports of ${subject}`,
};

function allSpots(tree: Tree): Spot[] {
  return sourcesOf(tree).flatMap(([path, text]) =>
    functionsOf(text)
      .filter(({ name, isExported }) => isExported && !isUsed(tree, name))
      .map(({ name }) => ({ path, key: name })),
  );
}

/** Somewhere, beside its declaration. */
function isUsed(tree: Tree, name: string): boolean {
  let times = 0;
  for (const [path, text] of tree) if (path.endsWith(".ts")) times += namesIn(text, name).length;
  return times > 1;
}
