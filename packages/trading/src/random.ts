/**
 * A number in [0, 1) that depends on nothing but its arguments, so that bar 4,000,000 of symbol 17 can be had without
 * generating its predecessors. Mixing step: the finaliser of MurmurHash3 (Austin Appleby, public domain).
 */
export function uniform(seed: number, ...coordinates: number[]): number {
  let hash = mix(seed ^ 0x9e3779b9);
  for (const coordinate of coordinates) hash = mix((hash + coordinate) ^ 0x9e3779b9);
  return hash / 2 ** 32;
}

function mix(value: number): number {
  let h = value >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
