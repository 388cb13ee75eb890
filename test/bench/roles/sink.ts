import { now, sleep } from "../clock.ts";
import { type ContenderName, open, type Place } from "../contenders/contender.ts";
import { granter } from "../credits.ts";
import { Latencies, type Percentiles } from "../latency.ts";
import { serve } from "../serve.ts";

export interface Tally extends Percentiles {
  readonly lost: number;
  readonly duplicates: number;
}

const QUIET_MS = 2000;
const latencies = new Latencies();
/** One byte for each message of a load, by its number. */
const seen = new Uint8Array(1 << 24);
let received = 0;
let duplicates = 0;
let lastAt = 0;

const sink = {
  async listen(contender: ContenderName, place: Place, topic: string) {
    const link = await open(contender, place);
    const grant = await granter(place);
    await link.subscribe(topic, ({ seq, at }) => {
      lastAt = now();
      latencies.record(lastAt - at);
      if (seen[seq] === 0) received += 1;
      else duplicates += 1;
      seen[seq] = 1;
      grant();
    });
  },

  /** Messages a second that arrive in the next seconds. */
  async rate(seconds: number): Promise<number> {
    const [begin, before] = [now(), received];
    await sleep(seconds * 1000);
    return ((received - before) / (now() - begin)) * 1000;
  },

  /** Waits for what is still under way, sums up, and is ready for the next load. */
  async tally(sent: number): Promise<Tally> {
    lastAt = now();
    // oxlint-disable-next-line no-unmodified-loop-condition -- polls what the subscription changes
    while (received < sent && now() - lastAt < QUIET_MS) await sleep(10);
    const tally = { ...latencies.percentiles(), lost: sent - received, duplicates };
    latencies.reset();
    seen.fill(0, 0, sent);
    received = 0;
    duplicates = 0;
    return tally;
  },
};

export type Sink = typeof sink;
serve(sink);
