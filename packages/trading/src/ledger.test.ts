import * as fc from "fast-check";
import { expect, test } from "vitest";
import { ledgerHash } from "./ledger.ts";
import { simulate } from "./simulate.ts";

const { fills, closing } = simulate({ bars: 800 });

test("the hash does not depend on the order of the fills", () => {
  expect(fills.length).toBeGreaterThan(20);
  expect(ledgerHash(fills)).toBe(closing.ledgerHash);
  fc.assert(
    fc.property(fc.shuffledSubarray([...fills], { minLength: fills.length }), (shuffled) => {
      expect(ledgerHash(shuffled)).toBe(closing.ledgerHash);
    }),
  );
});

test("changing anything of any fill changes the hash, and so does losing one", () => {
  const change = fc.constantFrom(
    { shares: 1 },
    { priceCents: 1 },
    { feeCents: 99 },
    { seq: 99_999 },
    { date: "1999-01-01" },
    { orderId: "x" },
    { symbol: "OTHER" },
  );
  fc.assert(
    fc.property(fc.nat(fills.length - 1), change, (index, changed) => {
      const forged = fills.map((fill, at) =>
        at === index ? Object.assign({}, fill, changed) : fill,
      );
      const lost = fills.filter((_, at) => at !== index);
      const original = fills[index];
      const differs = Object.entries(changed).some(
        ([key, value]) =>
          Object.entries(original ?? {}).find(([name]) => name === key)?.[1] !== value,
      );
      expect(ledgerHash(forged) === closing.ledgerHash).toBe(!differs);
      expect(ledgerHash(lost)).not.toBe(closing.ledgerHash);
    }),
  );
});
