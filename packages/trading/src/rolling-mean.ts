/**
 * Mean of the last `window` whole numbers, in constant time. Exact: sums of cents stay whole and far below 2^53, so
 * adding and removing them leaves no rounding behind, and the mean equals one taken over the window afresh.
 */
export class RollingMean {
  readonly #values: Float64Array;
  #sum = 0;
  #count = 0;

  constructor(window: number) {
    this.#values = new Float64Array(window);
  }

  /** The mean with this value as the latest; null until the window is full. */
  add(value: number): number | null {
    const { length } = this.#values;
    const slot = this.#count % length;
    this.#sum += value - (this.#values[slot] ?? 0);
    this.#values[slot] = value;
    this.#count += 1;
    return this.#count < length ? null : this.#sum / length;
  }
}
