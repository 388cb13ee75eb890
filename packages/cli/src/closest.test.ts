import { expect, test } from "vitest";
import { closest } from "./closest.ts";

const names = ["release", "held", "pair"];

test("a word that is nearly another one means that one", () => {
  expect(closest("relese", names)).toBe("release");
  expect(closest("Pairs", names)).toBe("pair");
  expect(closest("hled", names)).toBe("held");
});

test("a word that is far from all means none of them", () => {
  expect(closest("translate", names)).toBeUndefined();
  expect(closest("x", names)).toBeUndefined();
  expect(closest("release", [])).toBeUndefined();
});
