import { sourcesOf } from "../module.ts";
import { parse, splice, type Splice, type Syntax, textOf, walk } from "../syntax.ts";
import type { Tree } from "../tree.ts";
import { byFile, homeOf, type Rule, type Spot } from "./rule.ts";

/**
 * `==` becomes `===`. The plain way takes `x == null` along, which is wrong where `undefined` comes. The careful way writes both
 * out, and looks after what the plain way has left behind as well.
 */
export const strictEquality: Rule = {
  subjects: (tree) => byFile(spotsOf(tree)),
  spots: (tree, { subject, careful }) =>
    spotsOf(tree, careful).filter(({ path }) => homeOf(path) === subject),
  fix: (tree, { subject, careful = false }) =>
    new Map(
      sourcesOf(tree)
        .filter(([path]) => homeOf(path) === subject)
        .map(([path, text]) => [
          path,
          splice(
            text,
            comparisons(text, careful).map((node) => strict(text, node, careful)),
          ),
        ]),
    ),
  brief:
    "Use === and !== instead of == and !=. Where a value is compared with null, it may also be undefined: keep the behaviour.",
  title: ({ subject, careful }) =>
    `strict equality in ${subject}${careful === true ? ", with undefined" : ""}`,
};

function spotsOf(tree: Tree, careful = false): Spot[] {
  return sourcesOf(tree).flatMap(([path, text]) =>
    comparisons(text, careful).map((node) => ({ path, key: textOf(text, node) })),
  );
}

function comparisons(text: string, careful: boolean): Syntax[] {
  const found: Syntax[] = [];
  walk(parse(text), (node, parent) => {
    if (node.type !== "BinaryExpression") return;
    const operator = node["operator"] as string;
    const isLoose = operator === "==" || operator === "!=";
    if (isLoose || (careful && isHalf(text, node, parent))) found.push(node);
  });
  return found;
}

/** `x === null` without a word about undefined. */
function isHalf(text: string, node: Syntax, parent: Syntax | undefined): boolean {
  const operator = node["operator"] as string;
  if (operator !== "===" && operator !== "!==") return false;
  const isWhole =
    parent?.type === "LogicalExpression" && textOf(text, parent).includes("undefined");
  return textOf(text, node["right"] as Syntax) === "null" && !isWhole;
}

function strict(text: string, node: Syntax, careful: boolean): Splice {
  const { start, end } = node;
  const left = textOf(text, node["left"] as Syntax);
  const right = textOf(text, node["right"] as Syntax);
  const operator = (node["operator"] as string).slice(0, 1) === "!" ? "!==" : "===";
  const plain = `${left} ${operator} ${right}`;
  if (!careful || right !== "null") return { start, end, text: plain };
  const glue = operator === "===" ? "||" : "&&";
  return { start, end, text: `${plain} ${glue} ${left} ${operator} undefined` };
}
