import { openQueue, type QueueName, type QueuePlace } from "../queues/queue.ts";
import { serve } from "../serve.ts";

const worker = {
  async work(queue: QueueName, place: QueuePlace, name: string) {
    await (await openQueue(queue, place)).work(name);
  },

  /** Resident memory of this process in MiB. */
  memory: async () => process.memoryUsage.rss() / 1024 / 1024,
};

export type QueueWorker = typeof worker;
serve(worker);
