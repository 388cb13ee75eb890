import { functionsOf, sourcesOf, tidy, withImport, withoutFunctions } from "../module.ts";
import type { Tree } from "../tree.ts";
import type { Rule } from "./rule.ts";

const HOME = "src/shared.ts";

/** Takes a helper that was copied into several modules out into one. */
export const extract: Rule = {
  subjects(tree) {
    const copies = new Map<string, number>();
    for (const [, text] of sourcesOf(tree)) {
      for (const { name, isExported } of functionsOf(text)) {
        if (!isExported) copies.set(name, (copies.get(name) ?? 0) + 1);
      }
    }
    return [...copies].filter(([, count]) => count > 1).map(([subject]) => ({ subject }));
  },
  spots: (tree, { subject }) => copiesOf(tree, subject).map(([path]) => ({ path, key: subject })),
  reads: (tree, { subject }) => [HOME, ...copiesOf(tree, subject).map(([path]) => path)],
  fix(tree, { subject }) {
    const copies = copiesOf(tree, subject);
    const shared = tree.get(HOME) ?? "";
    const isShared = functionsOf(shared).some(({ name }) => name === subject);
    const [, text] = copies[0]!;
    const { node } = functionsOf(text).find(({ name }) => name === subject)!;
    const code = text.slice(node.start, node.end);
    return new Map([
      [HOME, isShared ? shared : tidy(`${shared}\n\nexport ${code}`)],
      ...copies.map(
        ([path, copy]) =>
          [path, withImport(path, withoutFunctions(copy, [subject]), subject, HOME)] as const,
      ),
    ]);
  },
  brief:
    "The helper is copied into several modules. Export it once, from src/shared.ts, and import it wherever it is used.",
  title: ({ subject }) => `extract ${subject} to ${HOME}`,
};

function copiesOf(tree: Tree, name: string): [string, string][] {
  return sourcesOf(tree).filter(([, text]) =>
    functionsOf(text).some((one) => one.name === name && !one.isExported),
  );
}
