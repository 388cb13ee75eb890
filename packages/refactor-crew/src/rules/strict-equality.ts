import { sourcesOf } from "../module.ts";
import { parse, splice, type Splice, type Syntax, textOf, walk } from "../syntax.ts";
import type { Tree } from "../tree.ts";
import { byFile, homeOf, type Job, type Rule, type Spot } from "./rule.ts";

/**
 * `==` becomes `===`. The plain way takes `x == null` along, which is wrong where `undefined` comes; the careful way
 * writes both out.
 */
export const strictEquality: Rule = {
  subjects: (tree) => byFile(allSpots(tree)),
  spots: (tree, { subject }) => allSpots(tree).filter(({ path }) => homeOf(path) === subject),
  fix: (tree, job) =>
    new Map(
      sourcesOf(tree)
        .filter(([path]) => homeOf(path) === job.subject)
        .filter(([, text]) => comparisons(text).length > 0)
        .map(([path, text]) => [path, splice(text, comparisons(text).map((node) => strict(text, node, job)))]),
    ),
  title: ({ subject, careful }) => `strict equality in ${subject}${careful ? ", with undefined" : ""}`,
};

function allSpots(tree: Tree): Spot[] {
  return sourcesOf(tree).flatMap(([path, text]) =>
    comparisons(text).map((node) => ({ path, key: textOf(text, node) })),
  );
}

function comparisons(text: string): Syntax[] {
  const found: Syntax[] = [];
  walk(parse(text), (node) => {
    const isLoose = node["operator"] === "==" || node["operator"] === "!=";
    if (node.type === "BinaryExpression" && isLoose) found.push(node);
  });
  return found;
}

function strict(text: string, node: Syntax, { careful }: Job): Splice {
  const [left, right] = [node["left"] as Syntax, node["right"] as Syntax];
  const operator = `${node["operator"] as string}=`;
  const plain = `${textOf(text, left)} ${operator} ${textOf(text, right)}`;
  const isNull = textOf(text, right) === "null";
  if (careful !== true || !isNull) return { ...span(node), text: plain };
  const glue = operator === "===" ? "||" : "&&";
  return { ...span(node), text: `${plain} ${glue} ${textOf(text, left)} ${operator} undefined` };
}

function span({ start, end }: Syntax): { start: number; end: number } {
  return { start, end };
}
