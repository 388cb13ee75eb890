import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { openQueue, type QueueName, type QueuePlace } from "../queues/queue.ts";
import { serve } from "../serve.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const worker = {
  async work(queue: QueueName, place: QueuePlace, name: string) {
    await (await openQueue(queue, place)).work(name);
  },

  /** What this process holds in memory, garbage aside, in MiB. */
  async memory() {
    collectGarbage();
    const { heapUsed, external } = process.memoryUsage();
    return (heapUsed + external) / 1024 / 1024;
  },
};

export type QueueWorker = typeof worker;
serve(worker);
