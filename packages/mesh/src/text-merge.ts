import { createTwoFilesPatch } from "diff";
import { diff3Merge } from "node-diff3";

const MAX_TEXT = 2 * 1024 * 1024; // bytes of a text that is compared line by line
/** Pairs of equal lines: what comparing costs. Texts of many equal lines would hold up the process. */
const MAX_PAIRS = 4_000_000;
const DIFF_TIMEOUT_MS = 1_000;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text of a content; undefined if it is binary, or too large to be compared. */
export function textOf(content: Uint8Array): string | undefined {
  if (content.length > MAX_TEXT || content.includes(0)) return undefined;
  try {
    return decoder.decode(content);
  } catch {
    return undefined;
  }
}

/** The lines of both sides in one, if they changed different ones; undefined if they disagree, or if that would take too long. */
export function mergeLines(base: string, ours: string, theirs: string): string | undefined {
  const [o, a, b] = [base, ours, theirs].map(linesOf) as [string[], string[], string[]];
  if (pairs(o, a) > MAX_PAIRS || pairs(o, b) > MAX_PAIRS) return undefined;
  const merged: string[] = [];
  for (const region of diff3Merge(a, o, b, { excludeFalseConflicts: true })) {
    if (region.ok === undefined) return undefined;
    merged.push(...region.ok);
  }
  return merged.join("");
}

/** What changed between two versions of a file, as a unified diff. */
export function unifiedDiff(
  path: string,
  before: Uint8Array | undefined,
  after: Uint8Array | undefined,
): string {
  const [from, to] = [
    before === undefined ? "/dev/null" : `a/${path}`,
    after === undefined ? "/dev/null" : `b/${path}`,
  ];
  const [old, now] = [before && textOf(before), after && textOf(after)];
  const binary = `Binary files ${from} and ${to} differ\n`;
  if ((before && old === undefined) || (after && now === undefined)) return binary;
  const options = { context: 3, timeout: DIFF_TIMEOUT_MS };
  return (
    createTwoFilesPatch(from, to, old ?? "", now ?? "", undefined, undefined, options) ??
    `Files ${from} and ${to} differ in too many lines to be shown\n`
  );
}

/** Lines with their line breaks, so that joining them gives the text again. */
export function linesOf(text: string): string[] {
  return text === "" ? [] : text.split(/(?<=\n)/);
}

function pairs(one: readonly string[], other: readonly string[]): number {
  const counts = new Map<string, number>();
  for (const line of one) counts.set(line, (counts.get(line) ?? 0) + 1);
  return other.reduce((sum, line) => sum + (counts.get(line) ?? 0), 0);
}
