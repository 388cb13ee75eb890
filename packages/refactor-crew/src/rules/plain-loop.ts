import { sourcesOf } from "../module.ts";
import { parse, splice, type Splice, type Syntax, textOf, walk } from "../syntax.ts";
import type { Tree } from "../tree.ts";
import { byFile, homeOf, type Rule, type Spot } from "./rule.ts";

/** `xs.forEach((x) => { … })` becomes `for (const x of xs) { … }`. */
export const plainLoop: Rule = {
  subjects: (tree) => byFile(allSpots(tree)),
  spots: (tree, { subject }) => allSpots(tree).filter(({ path }) => homeOf(path) === subject),
  fix: (tree, { subject }) =>
    new Map(
      sourcesOf(tree)
        .filter(([path]) => homeOf(path) === subject)
        .filter(([, text]) => loops(text).length > 0)
        .map(([path, text]) => [
          path,
          splice(
            text,
            loops(text).map((loop) => plain(text, loop)),
          ),
        ]),
    ),
  brief: "Write `for (const x of xs)` instead of `xs.forEach((x) => { … })`.",
  title: ({ subject }) => `plain loops in ${subject}`,
};

interface Loop {
  readonly statement: Syntax;
  readonly list: Syntax;
  readonly item: Syntax;
  readonly body: Syntax;
}

function allSpots(tree: Tree): Spot[] {
  return sourcesOf(tree).flatMap(([path, text]) =>
    loops(text).map(({ list }) => ({ path, key: `${textOf(text, list)}.forEach` })),
  );
}

/** Those that end with a block from which nothing returns. */
function loops(text: string): Loop[] {
  const found: Loop[] = [];
  walk(parse(text), (statement) => {
    if (statement.type !== "ExpressionStatement") return;
    const call = statement["expression"] as Syntax;
    if (call.type !== "CallExpression") return;
    const callee = call["callee"] as Syntax;
    if (callee.type !== "MemberExpression") return;
    if ((callee["property"] as Syntax)["name"] !== "forEach") return;
    const [arrow] = call["arguments"] as Syntax[];
    const params = (arrow?.["params"] ?? []) as Syntax[];
    const body = arrow?.["body"] as Syntax | undefined;
    if (params.length !== 1 || body?.type !== "BlockStatement" || returns(body)) return;
    found.push({ statement, list: callee["object"] as Syntax, item: params[0]!, body });
  });
  return found;
}

function returns(body: Syntax): boolean {
  let found = false;
  walk(body, ({ type }) => {
    if (type === "ReturnStatement") found = true;
  });
  return found;
}

function plain(text: string, { statement, list, item, body }: Loop): Splice {
  const { start, end } = statement;
  const code = `for (const ${textOf(text, item)} of ${textOf(text, list)}) ${textOf(text, body)}`;
  return { start, end, text: code };
}
