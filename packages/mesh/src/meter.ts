import type { Registry } from "prom-client";
import {
  fastCounter,
  fastGauge,
  fastHistogram,
  type CellFamily,
  type HistogramFamily,
} from "./histogram.ts";

/** Metrics of a package that stands on the mesh: served at /metrics like the mesh's own. Label sets must be bounded. */
export interface Meter {
  /** One number per label set, which only rises. The same name gives the same metric. */
  counter(name: string, help: string, labels: readonly string[]): CellFamily;
  gauge(name: string, help: string, labels: readonly string[]): CellFamily;
  /** @param buckets upper bounds, rising */
  histogram(
    name: string,
    help: string,
    labels: readonly string[],
    buckets: readonly number[],
  ): HistogramFamily;
}

/** Makes each metric once in a registry. */
export function createMeter(registry: Registry): Meter {
  const made = new Map<string, unknown>();
  const once = <T>(name: string, make: () => T): T => {
    if (!made.has(name)) made.set(name, make());
    return made.get(name) as T;
  };
  return {
    counter: (name, help, labels) =>
      once(name, () => fastCounter(registry, name, help, [...labels])),
    gauge: (name, help, labels) => once(name, () => fastGauge(registry, name, help, [...labels])),
    histogram: (name, help, labels, buckets) =>
      once(name, () => fastHistogram(registry, name, help, [...labels], [...buckets])),
  };
}
