import { now } from "../clock.ts";
import { Latencies, type Percentiles } from "../latency.ts";
import { closedLoop } from "../load.ts";
import { message } from "../message.ts";
import { openQueue, type Queue, type QueueName, type QueuePlace } from "../queues/queue.ts";
import { serve } from "../serve.ts";

export interface Cycles extends Percentiles {
  readonly perSecond: number;
}

let queue: Queue;
let next = 0;

const submitter = {
  async connect(name: QueueName, place: QueuePlace) {
    queue = await openQueue(name, place);
  },

  /** Submits and waits for the result, so many at a time. */
  async cycles(to: string, outstanding: number, seconds: number): Promise<Cycles> {
    const submit = await queue.submitter(to);
    const latencies = new Latencies();
    const begin = now();
    await closedLoop(outstanding, seconds, async () => {
      const from = now();
      const result = await submit(message(next++, from));
      await result();
      latencies.record(now() - from);
    });
    const percentiles = latencies.percentiles();
    return { ...percentiles, perSecond: percentiles.count / ((now() - begin) / 1000) };
  },

  /** Submits without waiting for results; gives what was stored a second. */
  async submissions(to: string, outstanding: number, count: number): Promise<number> {
    const submit = await queue.submitter(to);
    let left = count;
    const begin = now();
    const one = async (): Promise<void> => {
      while (left > 0) {
        left--;
        await submit(message(next++, now()));
      }
    };
    await Promise.all(Array.from({ length: outstanding }, one));
    return count / ((now() - begin) / 1000);
  },
};

export type Submitter = typeof submitter;
serve(submitter);
