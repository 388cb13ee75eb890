import { toMs, type Duration } from "./duration.ts";
import { MeshError } from "./errors.ts";

/** How a durable topic's events are stored. */
export interface DurableTopic {
  /**
   * How many events of a named subscription may be handled at a time, each of another partition. Default 1. It never
   * changes: keys would move to other partitions, and lose their order.
   */
  readonly partitions?: number;
  /** How long an event is kept, whoever has read it. Default 7 d. */
  readonly keep?: Duration;
  /** Bytes that are kept at most, the oldest events making room. Default: no bound. */
  readonly maxBytes?: number;
  /** How long an event's id is remembered, so that a second event of the same id is not stored. Default 2 min. */
  readonly dedupe?: Duration;
}

/** A {@link DurableTopic} with its defaults filled in. */
export interface ResolvedDurableTopic {
  readonly partitions: number;
  readonly keepMs: number;
  readonly maxBytes: number | undefined;
  readonly dedupeMs: number;
}

const MAX_PARTITIONS = 256; // each is a consumer of the broker, for every subscription
const MIN_KEEP_MS = 1_000;
const MIN_DEDUPE_MS = 100; // nats-server's own bound

/** Fills in the defaults. Throws `INVALID_CONTRACT` for what is out of range. */
export function resolveDurableTopic(
  name: string,
  durable: true | DurableTopic,
): ResolvedDurableTopic {
  const demand = (condition: boolean, text: string): void => {
    if (!condition) throw new MeshError("INVALID_CONTRACT", `Topic ${name}: durable: ${text}.`);
  };
  demand(
    durable === true || (typeof durable === "object" && durable !== null),
    "use true or options",
  );
  const { partitions = 1, keep = "7d", maxBytes, dedupe } = durable === true ? {} : durable;
  const keepMs = toMs(keep);
  const dedupeMs = dedupe === undefined ? Math.min(toMs("2m"), keepMs) : toMs(dedupe);
  demand(
    Number.isInteger(partitions) && partitions >= 1 && partitions <= MAX_PARTITIONS,
    `partitions must be 1 to ${MAX_PARTITIONS}`,
  );
  demand(keepMs >= MIN_KEEP_MS, `keep must be at least ${MIN_KEEP_MS} ms`);
  demand(
    maxBytes === undefined || (Number.isSafeInteger(maxBytes) && maxBytes >= 1),
    "maxBytes must be a whole number from 1",
  );
  demand(
    dedupeMs >= MIN_DEDUPE_MS && dedupeMs <= keepMs,
    `dedupe must be ${MIN_DEDUPE_MS} ms to ${keepMs} ms, which is how long events are kept`,
  );
  return { partitions, keepMs, maxBytes, dedupeMs };
}

/** The last token of the subjects of one partition, when there are several. */
export function partitionToken(partition: number): string {
  return `p${partition}`;
}
