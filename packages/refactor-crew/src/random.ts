/**
 * A number in [0, 1) that depends on nothing but its arguments. Hash: FNV-1a, finished as in MurmurHash3 (both public domain).
 */
export function uniform(seed: number, ...coordinates: readonly (string | number)[]): number {
  let hash = 0x811c9dc5 ^ seed;
  for (const char of coordinates.join("\0")) {
    hash = Math.imul(hash ^ char.codePointAt(0)!, 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

/** The same things in an order that the seed decides. */
export function shuffled<T>(things: readonly T[], seed: number, name: string): T[] {
  return things
    .map((thing, index) => ({ thing, at: uniform(seed, name, index) }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ thing }) => thing);
}
