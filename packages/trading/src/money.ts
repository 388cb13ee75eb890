import { TradingError } from "./errors.ts";

/**
 * Money is an integer number of cents in a JavaScript number. Every sum and product passes through here, so an amount
 * beyond 2^53 - 1 cents (90 trillion dollars) is an `UNSAFE_AMOUNT` error and never a silently rounded figure.
 */
export function exact(value: number, what = "amount"): number {
  if (!Number.isSafeInteger(value)) {
    throw new TradingError(
      "UNSAFE_AMOUNT",
      `${what} ${value} is not an exactly representable integer`,
    );
  }
  return value;
}

/** `a * b` as an exact integer. */
export function times(a: number, b: number): number {
  return exact(a * b, "product");
}

/**
 * `a * b / c` for non-negative integers, rounded as told; exact even where `a * b` exceeds 2^53.
 *
 * @example mulDiv(100, 1, 3, "up") // 34
 */
export function mulDiv(a: number, b: number, c: number, rounding: "down" | "up"): number {
  if (a < 0 || b < 0 || c <= 0) {
    throw new TradingError(
      "UNSAFE_AMOUNT",
      `mulDiv needs a, b >= 0 and c > 0, got ${a}, ${b}, ${c}`,
    );
  }
  const product = a * b;
  if (Number.isSafeInteger(product)) {
    const rest = product % c;
    return (product - rest) / c + (rounding === "up" && rest > 0 ? 1 : 0);
  }
  const wide = BigInt(a) * BigInt(b);
  const divisor = BigInt(c);
  const quotient = wide / divisor + (rounding === "up" && wide % divisor > 0n ? 1n : 0n);
  return exact(Number(quotient), "quotient");
}

/**
 * Decimal text to cents, rounded half up on the digits themselves: no binary fraction is ever involved.
 * Answers `undefined` for anything but an unsigned decimal.
 *
 * @example decimalToCents("1455.219971") // 145522
 */
export function decimalToCents(text: string): number | undefined {
  const match = /^(\d{1,13})(?:\.(\d+))?$/.exec(text);
  if (match === null) return undefined;
  const fraction = (match[2] ?? "").padEnd(3, "0");
  const halfUp = fraction.charCodeAt(2) >= 53 ? 1 : 0; // 53 is "5"
  return exact(Number(match[1]) * 100 + Number(fraction.slice(0, 2)) + halfUp);
}
