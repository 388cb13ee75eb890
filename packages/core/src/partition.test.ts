import { expect, test } from "vitest";
import { DEFAULT_PARTITIONS, partitionOf } from "./partition.ts";

test("a key's partition never changes: its history is stored under it", () => {
  expect(["", "a", "AAPL", "position:AAPL", "漢字"].map((key) => partitionOf(key))).toStrictEqual([
    0, 26, 54, 32, 37,
  ]);
});

test.each([1, 7, DEFAULT_PARTITIONS, 1_024])("keys spread evenly over %i partitions", (count) => {
  const keys = Array.from({ length: count }, () => 0);
  for (let i = 0; i < count * 200; i++) keys[partitionOf(`key-${i}`, count)]!++;
  expect(Math.min(...keys)).toBeGreaterThan(130); // 200 on average; five standard deviations
  expect(Math.max(...keys)).toBeLessThan(270);
});
