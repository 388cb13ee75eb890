import type { Duration } from "@plexus/core";

/**
 * What the model layer shares across processes, and where it counts. A `Mesh` of `@plexus/mesh` is one as it is;
 * {@link localFleet} is one for a single process.
 */
export interface Fleet {
  /** Unique id of this process among those that share. */
  readonly client: string;
  bucket(name: string, options?: BucketOptions): Bucket;
  readonly meter: Meter;
}

/** How a bucket keeps what is in it. */
export interface BucketOptions {
  /** `file` survives a restart of whatever holds it, `memory` does not. */
  readonly storage?: "file" | "memory";
  readonly ttl?: Duration;
  readonly maxBytes?: number;
}

/** What stands under a key; `value` is undefined for what is gone. */
export interface Entry {
  readonly key: string;
  readonly value: unknown;
  /** Rises with every write to the bucket. */
  readonly revision: number;
}

/** Small values under keys, shared by processes, with compare-and-set. `bucket-suite.ts` says what it must do. */
export interface Bucket {
  get(key: string): Promise<Entry | undefined>;
  /**
   * Writes, or removes (`undefined`). Rejects with `CONFLICT` when `revision` (0: nothing) is not what stands there,
   * `TIMEOUT` when it may or may not be written.
   */
  put(
    key: string,
    value: unknown,
    options?: { readonly revision?: number; readonly ttl?: Duration },
  ): Promise<number>;
  keys(): Promise<string[]>;
  /** Tells what stands there, then every change. Resolves with what ends it. */
  watch(listener: (entry: Entry) => void, key?: string): Promise<() => void>;
}

/** Makes metrics. Label values come from bounded sets. */
export interface Meter {
  counter(name: string, help: string, labels: readonly string[]): Family<Cell>;
  gauge(name: string, help: string, labels: readonly string[]): Family<Cell>;
  histogram(
    name: string,
    help: string,
    labels: readonly string[],
    buckets: readonly number[],
  ): Family<{ observe(value: number): void }>;
}

/** The time series of one metric. */
export interface Family<C> {
  with(labels: Record<string, string>): C;
}

/** One time series. */
export interface Cell {
  value: number;
}
