import type { ShardInfo } from "@plexus/mesh";
import { expect, test } from "vitest";
import { lastMovement } from "./last-movement.ts";

function shard(partition: number, owner: string, from?: string, since = 1_000): ShardInfo {
  return { entity: "e", partition, owner, state: "held", epoch: 1, since, from };
}

test("names the partitions of the last change, by whom they went from and to", () => {
  const shards = [
    shard(0, "a", "c", 100_900),
    shard(1, "b", "c", 101_000),
    shard(2, "a", "c", 100_800),
    shard(3, "a", "b", 50_000),
    shard(4, "b"),
  ];
  expect(lastMovement(shards)).toEqual({
    at: 101_000,
    moves: [
      { entity: "e", from: "c", to: "a", partitions: [0, 2] },
      { entity: "e", from: "c", to: "b", partitions: [1] },
    ],
  });
});

test("knows of none where each partition has its first owner, or its old one again", () => {
  expect(lastMovement([shard(0, "a"), shard(1, "b", "b")])).toBeUndefined();
  expect(lastMovement([])).toBeUndefined();
});

test("counts what moved in a row as one change, however long that took", () => {
  const shards = [0, 4_000, 8_000, 12_000].map((since, n) => shard(n, "a", "b", since));
  expect(lastMovement(shards)?.moves[0]?.partitions).toEqual([0, 1, 2, 3]);
});
