import { tsPlugin } from "@sveltejs/acorn-typescript";
import { type Node, Parser } from "acorn";

const TypeScript = Parser.extend(tsPlugin());

/** A node of the syntax tree: ESTree, with TypeScript's nodes beside it. */
export interface Syntax extends Node {
  readonly [part: string]: unknown;
}

/** Replaces what is between two offsets. */
export interface Splice {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** A place where a name stands. */
export interface NamePlace {
  readonly node: Syntax;
  readonly parent: Syntax | undefined;
}

interface Known {
  readonly tree: Syntax;
  names?: ReadonlyMap<string, readonly NamePlace[]>;
}

const MAX_KNOWN = 1_000;
const known = new Map<string, Known>();

/** The syntax tree of a TypeScript module. Throws SyntaxError for what is none. */
export function parse(text: string): Syntax {
  return know(text).tree;
}

function know(text: string): Known {
  const found = known.get(text);
  if (found !== undefined) return found;
  const tree = TypeScript.parse(text, {
    sourceType: "module",
    ecmaVersion: "latest",
    locations: true, // the plugin asks for it
  }) as unknown as Syntax;
  if (known.size >= MAX_KNOWN) known.clear();
  const fresh = { tree };
  known.set(text, fresh);
  return fresh;
}

/** Calls `visit` for every node, parents first. */
export function walk(
  node: Syntax,
  visit: (node: Syntax, parent: Syntax | undefined) => void,
  parent?: Syntax,
): void {
  visit(node, parent);
  for (const name in node) {
    const part = node[name];
    if (Array.isArray(part)) {
      for (const one of part as unknown[]) if (isSyntax(one)) walk(one, visit, node);
    } else if (isSyntax(part)) walk(part, visit, node);
  }
}

function isSyntax(value: unknown): value is Syntax {
  return typeof value === "object" && value !== null && "type" in value && "start" in value;
}

/** The text with all splices made; they must not overlap. */
export function splice(text: string, splices: readonly Splice[]): string {
  let result = "";
  let at = 0;
  for (const one of splices.toSorted((a, b) => a.start - b.start)) {
    result += text.slice(at, one.start) + one.text;
    at = one.end;
  }
  return result + text.slice(at);
}

export function textOf(text: string, { start, end }: Node): string {
  return text.slice(start, end);
}

/** Where a name is used or declared as itself: not as a property of something. Import and export lists count. */
export function namesIn(text: string, name: string): readonly NamePlace[] {
  if (!text.includes(name)) return [];
  const one = know(text);
  one.names ??= allNames(one.tree);
  return one.names.get(name) ?? [];
}

function allNames(tree: Syntax): ReadonlyMap<string, readonly NamePlace[]> {
  const names = new Map<string, NamePlace[]>();
  walk(tree, (node, parent) => {
    if (node.type !== "Identifier" || isProperty(node, parent)) return;
    const name = node["name"] as string;
    const places = names.get(name) ?? [];
    // `import { a }` and `{ a }` have one identifier twice, at one place.
    if (!places.some((place) => place.node.start === node.start)) places.push({ node, parent });
    names.set(name, places);
  });
  return names;
}

function isProperty(node: Syntax, parent: Syntax | undefined): boolean {
  if (parent === undefined) return false;
  if (parent.type === "MemberExpression") {
    return parent["property"] === node && parent["computed"] !== true;
  }
  if (parent.type === "Property") return parent["key"] === node && parent["shorthand"] !== true;
  return parent.type === "TSPropertySignature" && parent["key"] === node;
}
