import * as fc from "fast-check";
import { expect, test } from "vitest";
import { shardOf, shardsFor, shardsOf } from "./shard.ts";

const counts = fc.array(fc.integer({ min: 1, max: 8 }), { minLength: 1, maxLength: 6 });

test("replicas share the shards out evenly and without overlap", () => {
  fc.assert(
    fc.property(counts, (replicas) => {
      const shards = shardsFor(replicas);
      for (const of of replicas) {
        const shares = Array.from({ length: of }, (_, index) => shardsOf({ index, of }, shards));
        expect(shares.flat().toSorted((a, b) => a - b)).toEqual(
          Array.from({ length: shards }, (_, index) => index),
        );
        expect(new Set(shares.map((share) => share.length)).size).toBe(1);
      }
    }),
  );
});

test("without replicas there is one shard, so that all events can share messages", () => {
  expect(shardsFor([1, 1, 1])).toBe(1);
  expect(shardOf("SPX", 1)).toBe(0);
});
