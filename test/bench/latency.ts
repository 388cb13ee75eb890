import { createHistogram } from "node:perf_hooks";

export interface Percentiles {
  readonly count: number;
  readonly mean: number;
  readonly p50: number;
  readonly p99: number;
}

/** Latencies in milliseconds, kept as a histogram of microseconds with three significant digits. */
export class Latencies {
  readonly #histogram = createHistogram({ lowest: 1, highest: 600_000_000, figures: 3 });

  record(ms: number): void {
    this.#histogram.record(Math.max(1, Math.round(ms * 1000)));
  }

  reset(): void {
    this.#histogram.reset();
  }

  percentiles(): Percentiles {
    const histogram = this.#histogram;
    if (histogram.count === 0) return { count: 0, mean: 0, p50: 0, p99: 0 };
    return {
      count: histogram.count,
      mean: histogram.mean / 1000,
      p50: histogram.percentile(50) / 1000,
      p99: histogram.percentile(99) / 1000,
    };
  }
}
