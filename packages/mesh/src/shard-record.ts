import type { LeaseEffect, SeenLease, ShardLease } from "@plexus/core";
import type { LeaseEntry } from "./nats/lease-store.ts";

/** What the record of a partition's lease says for people to look at. */
export interface Tenure {
  /** When the owner acquired the partition, and from whom. Milliseconds since the epoch, by the owner's clock. */
  readonly since: number;
  readonly from: string | undefined;
}

type Written = {
  readonly state: "held" | "released";
  readonly owner: string;
  /** Absent in the acquiring write, whose revision is the epoch. */
  readonly epoch?: number;
  readonly heir?: string | undefined;
  readonly leaving?: boolean;
} & Partial<Tenure>;

/** Key of a partition's lease in the bucket of leases. Lease names of users are single tokens, so none is like this. */
export function shardKey(entity: string, partition: number | "*"): string {
  return `shards.${entity}.${partition}`;
}

/** Key of what all owners of an entity have to agree on. */
export function layoutKey(entity: string): string {
  return `shards.${entity}`;
}

/** The partition whose lease has this key, if one can have it. */
export function partitionOfKey(key: string): number | undefined {
  const token = key.slice(key.lastIndexOf(".") + 1);
  return /^(0|[1-9]\d{0,5})$/.test(token) ? Number(token) : undefined;
}

export function encodeShard(effect: LeaseEffect, owner: string, tenure: Tenure): Uint8Array {
  const written: Written =
    effect.type === "release"
      ? {
          state: "released",
          owner,
          epoch: effect.epoch,
          heir: effect.heir,
          leaving: effect.leaving,
          ...tenure,
        }
      : {
          state: "held",
          owner,
          ...(effect.type === "renew" ? { epoch: effect.epoch } : {}),
          ...tenure,
        };
  return Buffer.from(JSON.stringify(written));
}

/** What stands there; one that cannot be read counts as none, and may be replaced. */
export function decodeShard(
  partition: number,
  { revision, value }: LeaseEntry,
): SeenLease & { readonly tenure: Tenure | undefined } {
  const written = parse(value);
  if (written === undefined) return { partition, revision, record: undefined, tenure: undefined };
  const { state, owner, epoch = revision, heir, leaving = false, since, from } = written;
  const record: ShardLease =
    state === "held" ? { state, owner, epoch } : { state, owner, epoch, heir, leaving };
  return { partition, revision, record, tenure: since === undefined ? undefined : { since, from } };
}

function parse(value: Uint8Array): Written | undefined {
  try {
    const written = JSON.parse(Buffer.from(value).toString("utf8")) as Written;
    const { state, owner, epoch, heir } = written;
    const known = (state === "held" || state === "released") && typeof owner === "string";
    const sound = Number.isSafeInteger(epoch ?? 0) && typeof (heir ?? "") === "string";
    return known && sound ? written : undefined;
  } catch {
    return undefined;
  }
}
