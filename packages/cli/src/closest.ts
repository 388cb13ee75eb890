/** The one of some words that somebody who wrote `word` may have meant, if one is near enough. */
export function closest(word: string, among: readonly string[]): string | undefined {
  const far = Math.max(2, Math.floor(word.length / 3)) + 1;
  let best: string | undefined;
  let least = far;
  for (const one of among) {
    const distance = editDistance(word.toLowerCase(), one.toLowerCase());
    if (distance < least) [best, least] = [one, distance];
  }
  return best;
}

/** Levenshtein's distance: letters to put in, leave out or replace. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
