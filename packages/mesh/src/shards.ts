import type { InstanceInfo } from "./directory.ts";
import type { LeaseStore } from "./nats/lease-store.ts";
import { decodeShard, partitionOfKey } from "./shard-record.ts";

/** Who has one partition of an entity, as its lease says. */
export interface ShardInfo {
  readonly entity: string;
  readonly partition: number;
  /** Instance that owns it, or owned it last; undefined: the record cannot be read. */
  readonly owner: string | undefined;
  /** `held`: by an instance that is there. `lost`: by one that is not, until its lease runs out. `free`: handed back. */
  readonly state: "held" | "lost" | "free";
  /** Fencing token: revision of the write by which the owner acquired it. */
  readonly epoch: number | undefined;
  /** When the owner acquired it, and who had it before. Milliseconds since the epoch, by the owner's clock. */
  readonly since: number | undefined;
  readonly from: string | undefined;
}

/** The partitions of one entity or of all, as the broker has them. */
export async function listShards(
  store: LeaseStore,
  live: (instance: string) => InstanceInfo | undefined,
  entity?: string,
): Promise<ShardInfo[]> {
  const keys = await store.keys(entity === undefined ? "shards" : `shards.${entity}`);
  const shards = keys.map(async (key): Promise<ShardInfo | undefined> => {
    const partition = key.split(".").length === 3 ? partitionOfKey(key) : undefined;
    const entry = partition === undefined ? undefined : await store.read(key);
    if (partition === undefined || entry === undefined) return undefined;
    const { record, tenure } = decodeShard(partition, entry);
    const there = record !== undefined && live(record.owner) !== undefined;
    return {
      entity: key.split(".")[1]!,
      partition,
      owner: record?.owner,
      state: record?.state !== "held" ? "free" : there ? "held" : "lost",
      epoch: record?.epoch,
      since: tenure?.since,
      from: tenure?.from,
    };
  });
  const found = (await Promise.all(shards)).filter((shard) => shard !== undefined);
  return found.toSorted((a, b) => a.entity.localeCompare(b.entity) || a.partition - b.partition);
}
