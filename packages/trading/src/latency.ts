import * as z from "zod";

/** Sub-buckets per power of two: values are kept within 3 %. */
const SUB_BITS = 5;
const SUB = 1 << SUB_BITS;
/** Up to 2^37 µs, more than a day. */
const BUCKETS = (37 - SUB_BITS + 2) * SUB;

/** A histogram on the wire: pairs of bucket number and count, one after the other. */
export const LatencyCounts = z.object({
  count: z.int().min(0),
  sumUs: z.number().min(0),
  maxUs: z.number().min(0),
  buckets: z.array(z.int().min(0)),
});
export type LatencyCounts = z.infer<typeof LatencyCounts>;

/** Milliseconds. */
export interface LatencySummary {
  readonly count: number;
  readonly mean: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Counts durations in buckets that grow with the duration, as HdrHistogram does; histograms of processes add up. */
export class Latency {
  readonly #buckets = new Float64Array(BUCKETS);
  #count = 0;
  #sumUs = 0;
  #maxUs = 0;

  /** Takes note of a duration in µs; a negative one, from clocks that disagree, counts as 0. */
  observe(durationUs: number): void {
    const us = durationUs > 0 ? durationUs : 0;
    const bucket = bucketOf(us);
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1;
    this.#count += 1;
    this.#sumUs += us;
    if (us > this.#maxUs) this.#maxUs = us;
  }

  add({ count, sumUs, maxUs, buckets }: LatencyCounts): void {
    this.#count += count;
    this.#sumUs += sumUs;
    this.#maxUs = Math.max(this.#maxUs, maxUs);
    for (let index = 0; index + 1 < buckets.length; index += 2) {
      const bucket = Math.min(buckets[index] ?? 0, BUCKETS - 1);
      this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + (buckets[index + 1] ?? 0);
    }
  }

  counts(): LatencyCounts {
    const buckets: number[] = [];
    for (const [bucket, count] of this.#buckets.entries()) {
      if (count > 0) buckets.push(bucket, count);
    }
    return { count: this.#count, sumUs: this.#sumUs, maxUs: this.#maxUs, buckets };
  }

  summary(): LatencySummary {
    return {
      count: this.#count,
      mean: this.#count === 0 ? 0 : this.#sumUs / this.#count / 1_000,
      p50: this.#quantile(0.5),
      p99: this.#quantile(0.99),
      max: this.#maxUs / 1_000,
    };
  }

  #quantile(share: number): number {
    const wanted = Math.ceil(this.#count * share);
    let seen = 0;
    for (const [bucket, count] of this.#buckets.entries()) {
      seen += count;
      if (count > 0 && seen >= wanted) return Math.min(middleOf(bucket), this.#maxUs) / 1_000;
    }
    return 0;
  }
}

/** The sum of several histograms. */
export function mergeLatencies(all: readonly (LatencyCounts | undefined)[]): Latency {
  const merged = new Latency();
  for (const counts of all) if (counts !== undefined) merged.add(counts);
  return merged;
}

function bucketOf(us: number): number {
  if (us < 2 * SUB) return Math.floor(us);
  const power = Math.floor(Math.log2(us));
  const shift = power - SUB_BITS;
  return Math.min(BUCKETS - 1, shift * SUB + Math.floor(us / 2 ** shift));
}

function middleOf(bucket: number): number {
  if (bucket < 2 * SUB) return bucket + 0.5;
  const shift = Math.floor(bucket / SUB) - 1;
  return (bucket - shift * SUB + 0.5) * 2 ** shift;
}
