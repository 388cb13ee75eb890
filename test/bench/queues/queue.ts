import type { Place } from "../contenders/contender.ts";
import type { Message } from "../message.ts";

/** Where a work queue lives. */
export interface QueuePlace extends Place {
  /** Socket of a Redis on this machine, for who needs one. */
  readonly redis: string | undefined;
}

/** One process's connection to a work queue, with what the bench needs of it and nothing else. */
export interface Queue {
  /** Executes what is submitted to the named queue: gives back the message's number. */
  work(name: string): Promise<void>;
  /** Submits one message; resolves once it is stored, to a function that waits for the recorded result. */
  submitter(name: string): Promise<(message: Message) => Promise<() => Promise<unknown>>>;
}

export const QUEUES = {
  nats: "JetStream with @nats-io/jetstream 3: publish, pull, reply, ack; records nothing",
  bullmq: "BullMQ 6 on Redis, appendonly everysec",
  plexus: "Plexus tasks: result recorded, MessagePack, zod on both sides, metrics on",
} as const;

export type QueueName = keyof typeof QUEUES;

/** Slots of the one worker process. */
export const SLOTS = 256;

const openers: Record<QueueName, (place: QueuePlace) => Promise<Queue>> = {
  nats: async (place) => (await import("./nats.ts")).open(place),
  bullmq: async (place) => (await import("./bullmq.ts")).open(place),
  plexus: async (place) => (await import("./plexus.ts")).open(place),
};

export const openQueue = (name: QueueName, place: QueuePlace): Promise<Queue> =>
  openers[name](place);
