import { now } from "./clock.ts";
import { Latencies, type Percentiles } from "./latency.ts";
import { closedLoop, openLoop } from "./load.ts";

/** What a load of calls came to: latencies in milliseconds, each from when the call should have begun. */
export interface Calls extends Percentiles {
  readonly perSecond: number;
}

/** Calls that are offered in a closed or an open loop, and timed. A call that fails fails the load. */
export class TimedCalls {
  readonly #latencies = new Latencies();
  readonly #call: (from: number) => Promise<unknown>;

  /** @param call one call to its end, told when it should have begun */
  constructor(call: (from: number) => Promise<unknown>) {
    this.#call = call;
  }

  closed(outstanding: number, seconds: number): Promise<Calls> {
    return this.#measured(() => closedLoop(outstanding, seconds, () => this.#complete(now())));
  }

  open(rate: number, seconds: number): Promise<Calls> {
    return this.#measured(async () => {
      const pending: Promise<void>[] = [];
      await openLoop(rate, seconds, (intended) => {
        pending.push(this.#complete(intended));
      });
      await Promise.all(pending);
    });
  }

  async #complete(from: number): Promise<void> {
    await this.#call(from);
    this.#latencies.record(now() - from);
  }

  async #measured(load: () => Promise<void>): Promise<Calls> {
    this.#latencies.reset();
    const begin = now();
    await load();
    const seconds = (now() - begin) / 1000;
    const percentiles = this.#latencies.percentiles();
    return { ...percentiles, perSecond: percentiles.count / seconds };
  }
}
