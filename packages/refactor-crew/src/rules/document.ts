import { functionsOf } from "../module.ts";
import { splice } from "../syntax.ts";
import type { Tree } from "../tree.ts";
import type { Rule, Spot } from "./rule.ts";

/** Gives exported functions without a comment one that is made of their name. */
export const document: Rule = {
  subjects: (tree) =>
    [...tree.keys()].filter((path) => bare(tree, path).length > 0).map((subject) => ({ subject })),
  spots: (tree, { subject }) => bare(tree, subject),
  fix(tree, { subject }) {
    const text = tree.get(subject)!;
    const names = new Set(bare(tree, subject).map(({ key }) => key));
    const comments = functionsOf(text)
      .filter(({ name }) => names.has(name))
      .map(({ name, start }) => ({ start, end: start, text: `/** ${inWords(name)}. */\n` }));
    return new Map([[subject, splice(text, comments)]]);
  },
  brief:
    "Give each of these exported functions a comment of one line, /** … */, that says what it gives.",
  title: ({ subject }) => `comments for ${subject}`,
};

function bare(tree: Tree, path: string): Spot[] {
  const text = path.startsWith("src/") ? tree.get(path) : undefined;
  if (text === undefined) return [];
  return functionsOf(text)
    .filter(({ isExported, isDocumented }) => isExported && !isDocumented)
    .map(({ name }) => ({ path, key: name }));
}

function inWords(name: string): string {
  const words = name.replaceAll(/(?=[A-Z])/g, " ").toLowerCase();
  return words.slice(0, 1).toUpperCase() + words.slice(1);
}
