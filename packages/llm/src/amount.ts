/** Money and tokens together. Money is in nano-dollars (10⁻⁹ US$): whole numbers, so that sums are exact. */
export interface Amount {
  readonly nanoUsd: number;
  readonly tokens: number;
}

export const NOTHING: Amount = { nanoUsd: 0, tokens: 0 };

export function plus(a: Amount, b: Amount): Amount {
  return { nanoUsd: a.nanoUsd + b.nanoUsd, tokens: a.tokens + b.tokens };
}

export function minus(a: Amount, b: Amount): Amount {
  return { nanoUsd: a.nanoUsd - b.nanoUsd, tokens: a.tokens - b.tokens };
}

/** True if `a` is not more than `b` in anything. */
export function fitsIn(a: Amount, b: Amount): boolean {
  return a.nanoUsd <= b.nanoUsd && a.tokens <= b.tokens;
}

/** In each thing the larger. */
export function larger(a: Amount, b: Amount): Amount {
  return { nanoUsd: Math.max(a.nanoUsd, b.nanoUsd), tokens: Math.max(a.tokens, b.tokens) };
}

/** In each thing the smaller. */
export function smaller(a: Amount, b: Amount): Amount {
  return { nanoUsd: Math.min(a.nanoUsd, b.nanoUsd), tokens: Math.min(a.tokens, b.tokens) };
}

/** A share of it, rounded down. */
export function share(a: Amount, fraction: number): Amount {
  return { nanoUsd: Math.floor(a.nanoUsd * fraction), tokens: Math.floor(a.tokens * fraction) };
}

export function total(amounts: Iterable<Amount>): Amount {
  let sum = NOTHING;
  for (const amount of amounts) sum = plus(sum, amount);
  return sum;
}

/** US dollars as nano-dollars, rounded up: a price is never understated. */
export function nanoUsd(dollars: number): number {
  return Math.ceil(dollars * 1e9 - 1e-6); // 0.1 + 0.2 is not a nano-dollar more than 0.3
}

/** Nano-dollars as US dollars. */
export function usd(nano: number): number {
  return nano / 1e9;
}
