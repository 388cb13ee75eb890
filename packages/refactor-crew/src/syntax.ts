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

const MAX_KNOWN = 400;
const known = new Map<string, Syntax>();

/** The syntax tree of a TypeScript module. Throws SyntaxError for what is none. */
export function parse(text: string): Syntax {
  const found = known.get(text);
  if (found !== undefined) return found;
  const tree = TypeScript.parse(text, {
    sourceType: "module",
    ecmaVersion: "latest",
    locations: true, // the plugin asks for it
  }) as unknown as Syntax;
  if (known.size >= MAX_KNOWN) known.clear();
  known.set(text, tree);
  return tree;
}

/** Calls `visit` for every node, parents first. */
export function walk(
  node: Syntax,
  visit: (node: Syntax, parent: Syntax | undefined) => void,
  parent?: Syntax,
): void {
  visit(node, parent);
  for (const child of childrenOf(node)) walk(child, visit, node);
}

function childrenOf(node: Syntax): Syntax[] {
  return Object.values(node)
    .flatMap((part) => (Array.isArray(part) ? (part as unknown[]) : [part]))
    .filter(isSyntax);
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
export function namesIn(
  text: string,
  name: string,
): { node: Syntax; parent: Syntax | undefined }[] {
  if (!text.includes(name)) return [];
  const found = new Map<number, { node: Syntax; parent: Syntax | undefined }>();
  walk(parse(text), (node, parent) => {
    if (node.type !== "Identifier" || node["name"] !== name) return;
    // `import { a }` and `{ a }` have one identifier twice, at one place.
    if (!isProperty(node, parent) && !found.has(node.start))
      found.set(node.start, { node, parent });
  });
  return [...found.values()];
}

function isProperty(node: Syntax, parent: Syntax | undefined): boolean {
  if (parent === undefined) return false;
  if (parent.type === "MemberExpression") {
    return parent["property"] === node && parent["computed"] !== true;
  }
  if (parent.type === "Property") return parent["key"] === node && parent["shorthand"] !== true;
  return parent.type === "TSPropertySignature" && parent["key"] === node;
}
