import type { World } from "./world.ts";

/** What the way between the processes and the broker is like; the faults of a schedule change it. Times in ms. */
export interface Weather {
  /** Every message takes between 1 and this. */
  latencyMs: number;
  /** What one watched key's news may take on top; other keys' overtake them. */
  watchLagMs: number;
  /** Of the messages that are no news of the watch, in either direction. */
  lossRate: number;
  /** Of the requests that arrive so late that nobody waits for the answer any more. */
  straggleRate: number;
}

export const FAIR: Weather = { latencyMs: 20, watchLagMs: 20, lossRate: 0, straggleRate: 0 };

/** One process's connection to the broker. */
export class Uplink {
  #up = false;
  readonly #world: World;
  readonly #weather: Weather;
  /** Of each key watched, when its last news arrives: a key's news never overtake each other. */
  #arrivals = new Map<string, number>();
  /** Before this moment no news arrives: the watch begins with what there is. Infinity: nothing is watched. */
  #watchedFrom = Infinity;
  #session = 0;

  constructor(world: World, weather: Weather) {
    this.#world = world;
    this.#weather = weather;
  }

  get up(): boolean {
    return this.#up;
  }

  cut(): void {
    this.#up = false;
    this.#session++; // what the watch has on its way is lost
    this.#watchedFrom = Infinity;
    this.#arrivals.clear();
  }

  /** Connects and starts the watch: what `snapshot` finds at the broker arrives first, then all news since. */
  connect<T>(snapshot: () => T, arrive: (snapshot: T) => void): void {
    this.#up = true;
    const session = ++this.#session;
    this.#world.after(this.#world.between(1, this.#weather.latencyMs), () => {
      if (this.#session !== session) return;
      const found = snapshot();
      const lag = this.#world.between(1, this.#weather.latencyMs);
      this.#watchedFrom = this.#world.now + lag;
      this.#world.after(lag, () => {
        if (this.#session === session) arrive(found);
      });
    });
  }

  /** Carries out `apply` at the broker and brings back what it returns, unless either way fails. */
  request<T>(apply: () => T, answered: (result: T) => void): void {
    const { lossRate, straggleRate, latencyMs } = this.#weather;
    const lost = !this.#up || this.#world.chance(lossRate);
    if (lost) return;
    const late = this.#world.chance(straggleRate) ? this.#world.between(0, 5_000) : 0;
    this.#world.after(late + this.#world.between(1, latencyMs), () => {
      if (!this.#up) return;
      const result = apply();
      if (this.#world.chance(this.#weather.lossRate)) return;
      this.#world.after(this.#world.between(1, this.#weather.latencyMs), () => {
        if (this.#up) answered(result);
      });
    });
  }

  /** Brings news of the watch: late, but of one key in order. */
  push(key: string, arrive: () => void): void {
    if (this.#watchedFrom === Infinity) return;
    const { latencyMs, watchLagMs } = this.#weather;
    const lag = this.#world.between(1, Math.max(latencyMs, watchLagMs));
    const at = Math.max(this.#world.now + lag, this.#arrivals.get(key) ?? this.#watchedFrom);
    this.#arrivals.set(key, at);
    const session = this.#session;
    this.#world.after(at - this.#world.now, () => {
      if (this.#session === session) arrive();
    });
  }
}
