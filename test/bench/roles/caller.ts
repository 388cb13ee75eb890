import { now } from "../clock.ts";
import { type CallOptions, type ContenderName, open, type Place } from "../contenders/contender.ts";
import { Latencies, type Percentiles } from "../latency.ts";
import { closedLoop, openLoop } from "../load.ts";
import { message } from "../message.ts";
import { serve } from "../serve.ts";

export interface Calls extends Percentiles {
  readonly perSecond: number;
}

const latencies = new Latencies();
let call: () => Promise<unknown>;

/** One call to its end; a failed one fails the load. */
async function complete(from: number): Promise<void> {
  await call();
  latencies.record(now() - from);
}

async function measured(load: () => Promise<void>): Promise<Calls> {
  latencies.reset();
  const begin = now();
  await load();
  const seconds = (now() - begin) / 1000;
  const percentiles = latencies.percentiles();
  return { ...percentiles, perSecond: percentiles.count / seconds };
}

const caller = {
  async connect(contender: ContenderName, place: Place, options: CallOptions) {
    call = await (await open(contender, place)).caller(message(0, 0), options);
  },

  closed: (outstanding: number, seconds: number) =>
    measured(() => closedLoop(outstanding, seconds, () => complete(now()))),

  open: (rate: number, seconds: number) =>
    measured(async () => {
      const pending: Promise<void>[] = [];
      await openLoop(rate, seconds, (intended) => {
        pending.push(complete(intended));
      });
      await Promise.all(pending);
    }),
};

export type Caller = typeof caller;
serve(caller);
