/**
 * MurmurHash3 (x86, 32 bit; Austin Appleby, public domain) of a string's UTF-16 code units: stable across processes,
 * versions and machines. Shards and rings depend on it, so it never changes.
 * @returns an unsigned 32-bit integer
 */
export function hash32(text: string, seed = 0): number {
  let hash = seed;
  const { length } = text;
  const pairs = length & ~1;
  for (let i = 0; i < pairs; i += 2) {
    hash ^= scramble(text.charCodeAt(i) | (text.charCodeAt(i + 1) << 16));
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0;
  }
  if (length > pairs) hash ^= scramble(text.charCodeAt(pairs));
  hash ^= length * 2;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function scramble(block: number): number {
  const mixed = Math.imul(block, 0xcc9e2d51);
  return Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593);
}
