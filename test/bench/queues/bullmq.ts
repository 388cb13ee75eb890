import { createRequire } from "node:module";
import type { Message } from "../message.ts";
import { SLOTS, type Queue, type QueuePlace } from "./queue.ts";

/** The little of BullMQ that is used here; the package is installed apart (`peers/`) and may be missing. */
interface Job {
  readonly data: Message;
  waitUntilFinished(events: object, ms: number): Promise<unknown>;
}
interface Bull {
  readonly Queue: new (
    name: string,
    options: object,
  ) => { add(name: string, data: Message, options: object): Promise<Job> };
  readonly QueueEvents: new (
    name: string,
    options: object,
  ) => { waitUntilReady(): Promise<unknown> };
  readonly Worker: new (
    name: string,
    work: (job: Job) => Promise<unknown>,
    options: object,
  ) => { waitUntilReady(): Promise<unknown> };
}

const PATIENCE_MS = 1_000;

/** Now and then, on a busy machine, it misses the event that it waits for; whoever waits again looks at the job first. */
async function finished(job: Job, events: object): Promise<unknown> {
  for (;;) {
    try {
      // Once more only after a failure.
      return await job.waitUntilFinished(events, PATIENCE_MS);
    } catch (error) {
      if (!/timed out/.test(String(error))) throw error;
    }
  }
}

const work = async ({ data }: Job): Promise<number> => data.seq;

export async function open(place: QueuePlace): Promise<Queue> {
  if (place.redis === undefined) throw new Error("BullMQ needs a Redis");
  const require = createRequire(new URL("../peers/package.json", import.meta.url));
  const bull = require("bullmq") as Bull;
  const options = {
    connection: { path: place.redis, maxRetriesPerRequest: null },
    prefix: place.namespace,
  };

  return {
    async work(name) {
      await new bull.Worker(name, work, { ...options, concurrency: SLOTS }).waitUntilReady();
    },

    async submitter(name) {
      // By default it forgets events that are more than 10,000 behind, and with them who waits for them.
      const streams = { events: { maxLen: 1_000_000 } };
      const queue = new bull.Queue(name, { ...options, streams });
      const events = new bull.QueueEvents(name, options);
      await events.waitUntilReady();
      const kept = { removeOnComplete: { age: 60, count: 10_000 } };
      return async (message) => {
        const job = await queue.add("run", message, kept);
        return () => finished(job, events);
      };
    },
  };
}
