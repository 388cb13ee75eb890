import {
  functionsOf,
  importersOf,
  listsOf,
  listText,
  sourcesOf,
  tidy,
  type TopFunction,
  withImport,
  withoutFunctions,
} from "../module.ts";
import { namesIn } from "../syntax.ts";
import { importPath, resolveImport } from "../tree.ts";
import { withoutUnused } from "./unused-import.ts";
import { type Rule, testOf } from "./rule.ts";

const HEADING = /^\/\/ --- (\w+) ---\n/gm;

/** A file that holds several things, each under a heading, becomes one file for each. */
export const split: Rule = {
  subjects: (tree) =>
    sourcesOf(tree)
      .filter(([, text]) => headings(text).length > 1)
      .map(([subject]) => ({ subject })),
  spots: (tree, { subject }) =>
    headings(tree.get(subject) ?? "").map(({ name }) => ({ path: subject, key: name })),
  reads: (tree, { subject }) => [
    subject,
    testOf(subject),
    ...importersOf(tree, subject),
    ...headings(tree.get(subject)!)
      .slice(1)
      .map(({ name }) => homeFor(subject, name)),
  ],
  fix(tree, { subject }) {
    const text = tree.get(subject)!;
    const [, ...moving] = headings(text);
    const changes = new Map<string, string>();
    const homes = new Map<string, string>();
    for (const { name, functions } of moving) {
      const home = homeFor(subject, name);
      changes.set(home, moved(text, functions, subject, home));
      for (const one of functions) if (one.isExported) homes.set(one.name, home);
    }
    const rest = withoutFunctions(text.replaceAll(HEADING, ""), [...homes.keys()]);
    changes.set(subject, withoutUnused(rest));
    for (const path of importersOf(tree, subject)) {
      changes.set(path, redirected(path, tree.get(path)!, subject, homes));
    }
    return changes;
  },
  brief:
    "The file holds several things, each under a heading `// --- name ---`. Leave the first there, move each other one to a file of its own, called after it (src/misc-text.ts), remove the headings, and let everybody import from the new places.",
  title: ({ subject }) => `split ${subject}`,
};

interface Section {
  readonly name: string;
  readonly functions: readonly TopFunction[];
}

function headings(text: string): Section[] {
  const found = [...text.matchAll(HEADING)];
  return found.map((match, index) => {
    const end = found[index + 1]?.index ?? Infinity;
    return {
      name: match[1]!,
      functions: functionsOf(text).filter(
        ({ start, isExported }) => isExported && start > match.index && start < end,
      ),
    };
  });
}

function homeFor(path: string, section: string): string {
  return path.replace(/\.ts$/, `-${section}.ts`);
}

/** Functions with the imports and the local helpers that they need. */
function moved(
  text: string,
  functions: readonly TopFunction[],
  from: string,
  home: string,
): string {
  const codeOf = ({ start, end }: TopFunction): string => text.slice(start, end);
  let code = functions.map(codeOf).join("\n\n");
  for (const helper of functionsOf(text)) {
    if (!helper.isExported && namesIn(code, helper.name).length > 0)
      code += `\n\n${codeOf(helper)}`;
  }
  const lists = listsOf(text).filter(({ kind }) => kind !== "export");
  for (const { from: specifier, names } of lists.toReversed()) {
    for (const name of names.filter((one) => namesIn(code, one).length > 0)) {
      code = withImport(home, code, name, resolveImport(from, specifier));
    }
  }
  return tidy(code);
}

/** An importer that finds each name in its new home. */
function redirected(
  path: string,
  text: string,
  from: string,
  homes: ReadonlyMap<string, string>,
): string {
  const list = listsOf(text).find((one) => resolveImport(path, one.from) === from)!;
  const byHome = new Map<string, string[]>();
  for (const name of list.names) {
    const home = homes.get(name) ?? from;
    byHome.set(home, [...(byHome.get(home) ?? []), name]);
  }
  const texts = [...byHome].map(([home, names]) =>
    listText({ kind: list.kind, from: importPath(path, home), names }),
  );
  return text.slice(0, list.start) + texts.join("\n") + text.slice(list.end);
}
