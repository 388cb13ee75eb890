import * as fc from "fast-check";
import { expect, test } from "vitest";
import { decimalToCents, exact, mulDiv } from "./money.ts";

test("decimal text becomes cents, rounded half up on its digits", () => {
  expect(decimalToCents("1455.219971")).toBe(145_522);
  expect(decimalToCents("28.8")).toBe(2_880);
  expect(decimalToCents("7")).toBe(700);
  expect(decimalToCents("0.004999")).toBe(0);
  expect(decimalToCents("0.005")).toBe(1);
  // As a binary fraction 1.005 is a little less, and naive rounding gives 100.
  expect(decimalToCents("1.005")).toBe(101);
});

test.each(["", "-1", "1.", ".5", "1e3", "1,5", " 1", "NaN", "12345678901234"])(
  "%j is not a price",
  (text) => {
    expect(decimalToCents(text)).toBeUndefined();
  },
);

test("every amount in cents survives its own decimal text", () => {
  fc.assert(
    fc.property(fc.nat(2 ** 31), (cents) => {
      const text = `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, "0")}`;
      expect(decimalToCents(text)).toBe(cents);
    }),
  );
});

test("mulDiv is exact where the product exceeds the safe integers", () => {
  expect(mulDiv(100, 1, 3, "down")).toBe(33);
  expect(mulDiv(100, 1, 3, "up")).toBe(34);
  const amount = fc.nat(2 ** 40);
  fc.assert(
    fc.property(amount, fc.integer({ min: 1, max: 2 ** 40 }), fc.nat(100), (a, c, percent) => {
      const b = Math.floor((c * percent) / 100);
      const wide = (BigInt(a) * BigInt(b)) / BigInt(c);
      expect(BigInt(mulDiv(a, b, c, "down"))).toBe(wide);
      const rest = (BigInt(a) * BigInt(b)) % BigInt(c) > 0n ? 1n : 0n;
      expect(BigInt(mulDiv(a, b, c, "up"))).toBe(wide + rest);
    }),
  );
});

test("an amount that is no longer exact is an error, not a rounded figure", () => {
  expect(() => exact(2 ** 53)).toThrow(expect.objectContaining({ code: "UNSAFE_AMOUNT" }));
  expect(() => exact(0.5)).toThrow(expect.objectContaining({ code: "UNSAFE_AMOUNT" }));
  expect(() => mulDiv(-1, 1, 1, "up")).toThrow(expect.objectContaining({ code: "UNSAFE_AMOUNT" }));
});
