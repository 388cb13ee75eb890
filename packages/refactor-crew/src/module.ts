import { parse, splice, type Syntax } from "./syntax.ts";
import { importPath, resolveImport, type Tree } from "./tree.ts";

/** A function at the top of a module, with the comment that belongs to it. */
export interface TopFunction {
  readonly name: string;
  readonly isExported: boolean;
  readonly isDocumented: boolean;
  /** Offsets of the whole declaration, its comment included. */
  readonly start: number;
  readonly end: number;
  readonly node: Syntax;
}

/** `import { a, b } from "./x.ts"`, or the same with `export`. */
export interface NameList {
  readonly kind: "import" | "import type" | "export";
  readonly from: string;
  readonly names: readonly string[];
  readonly start: number;
  readonly end: number;
}

export function functionsOf(text: string): TopFunction[] {
  return bodyOf(text).flatMap((statement) => {
    const isExported = statement.type === "ExportNamedDeclaration";
    const node = (isExported ? statement["declaration"] : statement) as Syntax | null;
    if (node?.type !== "FunctionDeclaration") return [];
    const comment = /\/\*\*(?:(?!\*\/)[^])*\*\/\s*$/.exec(text.slice(0, statement.start));
    return [
      {
        name: (node["id"] as Syntax)["name"] as string,
        isExported,
        isDocumented: comment !== null,
        start: comment === null ? statement.start : comment.index,
        end: statement.end,
        node,
      },
    ];
  });
}

export function listsOf(text: string): NameList[] {
  return bodyOf(text).flatMap((statement) => {
    const source = statement["source"] as Syntax | null | undefined;
    const specifiers = statement["specifiers"] as Syntax[] | undefined;
    if (source === null || source === undefined || specifiers === undefined) return [];
    const isExport = statement.type === "ExportNamedDeclaration";
    if (specifiers.some(({ type }) => type !== "ImportSpecifier" && type !== "ExportSpecifier")) {
      return [];
    }
    const isType = statement["importKind"] === "type";
    return [
      {
        kind: isExport ? "export" : isType ? "import type" : "import",
        from: source["value"] as string,
        names: specifiers.map((one) => (one["local"] as Syntax)["name"] as string),
        start: statement.start,
        end: statement.end,
      },
    ];
  });
}

/** Names that a module offers: its exported functions and what it passes on. */
export function exportsOf(text: string): string[] {
  const own = functionsOf(text).filter(({ isExported }) => isExported);
  const passedOn = listsOf(text).filter(({ kind }) => kind === "export");
  return [...own.map(({ name }) => name), ...passedOn.flatMap(({ names }) => names)];
}

/** A module with these lists instead of those at the same places; an empty one goes. */
export function withLists(
  text: string,
  lists: readonly { at: { start: number; end: number }; list: Omit<NameList, "start" | "end"> }[],
): string {
  return splice(
    text,
    lists.map(({ at, list }) => {
      const isGone = list.names.length === 0;
      const end = isGone && text[at.end] === "\n" ? at.end + 1 : at.end;
      return { start: at.start, end, text: isGone ? "" : listText(list) };
    }),
  );
}

/** A module that imports a name, too. */
export function withImport(path: string, text: string, name: string, home: string): string {
  const from = importPath(path, home);
  const lists = listsOf(text);
  const known = lists.find((list) => list.kind === "import" && list.from === from);
  if (known?.names.includes(name) === true) return text;
  if (known !== undefined) {
    return withLists(text, [{ at: known, list: { ...known, names: [...known.names, name] } }]);
  }
  const added = listText({ kind: "import", from, names: [name] });
  const last = lists.findLast(({ kind }) => kind !== "export");
  if (last === undefined) return `${added}\n\n${text}`;
  return splice(text, [{ start: last.end, end: last.end, text: `\n${added}` }]);
}

/** A module without some functions. */
export function withoutFunctions(text: string, names: readonly string[]): string {
  const gone = functionsOf(text).filter(({ name }) => names.includes(name));
  const rest = splice(
    text,
    gone.map(({ start, end }) => ({ start, end, text: "" })),
  );
  return tidy(rest);
}

/** One blank line between things, none at either end. */
export function tidy(text: string): string {
  return `${text.replaceAll(/\n{3,}/g, "\n\n").trim()}\n`;
}

/** Paths of the modules that import from a module, or pass on what it exports. */
export function importersOf(tree: Tree, home: string): string[] {
  return [...tree]
    .filter(([path, text]) => path.endsWith(".ts") && text.includes(home.split("/").at(-1)!))
    .filter(([path, text]) => listsOf(text).some(({ from }) => resolveImport(path, from) === home))
    .map(([path]) => path);
}

/** TypeScript modules of the project's own code. */
export function sourcesOf(tree: Tree): [string, string][] {
  return [...tree].filter(([path]) => path.startsWith("src/") && path.endsWith(".ts"));
}

/** Longer lists stand one name a line, as a formatter would have it. */
export function listText({ kind, from, names }: Omit<NameList, "start" | "end">): string {
  const sorted = [...new Set(names)].toSorted();
  if (kind === "export") {
    return `export {\n${sorted.map((name) => `  ${name},\n`).join("")}} from "${from}";`;
  }
  return `${kind} { ${sorted.join(", ")} } from "${from}";`;
}

function bodyOf(text: string): Syntax[] {
  return parse(text)["body"] as Syntax[];
}
