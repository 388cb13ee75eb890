import { Counter, Gauge, Histogram, type Registry } from "prom-client";

type Labels = Record<string, string>;

/** One time series of a counter or gauge: a plain number on the hot path, exported when scraped. */
export interface Cell {
  value: number;
}

/** One time series of a histogram. */
export class HistogramCell {
  readonly bounds: readonly number[];
  readonly counts: Float64Array;
  sum = 0;
  count = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const { bounds } = this;
    let i = 0;
    while (i < bounds.length && value > bounds[i]!) i++;
    this.counts[i]!++;
    this.sum += value;
    this.count++;
  }
}

/** Cells by their label values. Label sets are bounded by contract: never ids. */
class Family<C> {
  readonly cells: { labels: Labels; cell: C }[] = [];
  readonly #byKey = new Map<string, C>();
  readonly #make: () => C;

  constructor(make: () => C) {
    this.#make = make;
  }

  /** The cell for these labels. Resolve it once and keep it. */
  with(labels: Labels): C {
    const key = Object.values(labels).join("\u0000");
    let cell = this.#byKey.get(key);
    if (cell === undefined) {
      cell = this.#make();
      this.#byKey.set(key, cell);
      this.cells.push({ labels, cell });
    }
    return cell;
  }
}

export type CellFamily = Family<Cell>;
export type HistogramFamily = Family<HistogramCell>;

/**
 * A counter whose increments cost an addition: prom-client's own `inc` with labels is 20 times that, so its values are
 * set from the cells when the registry is scraped.
 */
export function fastCounter(
  registry: Registry,
  name: string,
  help: string,
  labels: string[],
): CellFamily {
  const family = new Family<Cell>(() => ({ value: 0 }));
  const counter: Counter = new Counter({
    name,
    help,
    labelNames: labels,
    registers: [registry],
    collect() {
      counter.reset();
      for (const { labels: own, cell } of family.cells) counter.inc(own, cell.value);
    },
  });
  return family;
}

/** A gauge, as {@link fastCounter}; `refresh` runs before each scrape. */
export function fastGauge(
  registry: Registry,
  name: string,
  help: string,
  labels: string[],
  refresh?: (family: CellFamily) => void,
): CellFamily {
  const family = new Family<Cell>(() => ({ value: 0 }));
  const gauge: Gauge = new Gauge({
    name,
    help,
    labelNames: labels,
    registers: [registry],
    collect() {
      refresh?.(family);
      for (const { labels: own, cell } of family.cells) gauge.set(own, cell.value);
    },
  });
  return family;
}

/** prom-client's histogram with its values taken from cells when it is scraped. */
class ScrapedHistogram extends Histogram {
  readonly family: HistogramFamily;
  readonly #described: { name: string; help: string };

  constructor(registry: Registry, name: string, help: string, labels: string[], buckets: number[]) {
    super({ name, help, labelNames: labels, buckets, registers: [registry] });
    this.family = new Family(() => new HistogramCell(buckets));
    this.#described = { name, help };
  }

  /** What `get` and the text of a scrape are both made of. prom-client does not declare it. */
  async getForPromString(): Promise<object> {
    const { name, help } = this.#described;
    const values: object[] = [];
    const add = (suffix: string, sharedLabels: Labels, labels: Labels, value: number): void => {
      values.push({ metricName: `${name}_${suffix}`, labels, sharedLabels, value });
    };
    for (const { labels, cell } of this.family.cells) {
      let cumulative = 0;
      for (const [i, bound] of cell.bounds.entries()) {
        cumulative += cell.counts[i]!;
        add("bucket", labels, { le: String(bound) }, cumulative);
      }
      add("bucket", labels, { le: "+Inf" }, cell.count);
      add("sum", labels, {}, cell.sum);
      add("count", labels, {}, cell.count);
    }
    return { name, help, type: "histogram", aggregator: "sum", values };
  }
}

export function fastHistogram(
  registry: Registry,
  name: string,
  help: string,
  labels: string[],
  buckets: number[],
): HistogramFamily {
  return new ScrapedHistogram(registry, name, help, labels, buckets).family;
}
