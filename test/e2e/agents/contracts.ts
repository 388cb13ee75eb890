import { agent, topic } from "@plexus/core";
import { z } from "zod";

/** Who served a call. */
const Served = z.object({ pid: z.number(), instance: z.string() });

/** The agent of the fault tests. Each handler writes `began <capability>` and, when it is canceled, `canceled <capability>`. */
export const Worker = agent("worker", {
  capabilities: {
    /** Answers at once. */
    work: { input: z.unknown(), output: Served },
    /** Answers after so many ms, unless it is canceled; must not run twice. */
    hold: { input: z.number(), output: Served },
    /** The same, but may run twice. */
    holdSafely: { input: z.number(), output: Served, idempotent: true },
    /** Counts, one number every so many ms, until it is canceled. */
    count: { input: z.number(), output: z.unknown(), stream: z.number() },
  },
});

/** Published by the publisher process, numbered from 1. */
export const Numbers = topic("numbers", { schema: z.number() });

/** Large events, numbered from 1. */
export const Blocks = topic("blocks", {
  schema: z.object({ n: z.number(), bytes: z.instanceof(Uint8Array) }),
});

/** The agent of the tests with durable tasks. Each handler writes `began <task>`. */
export const Porter = agent("porter", {
  capabilities: {
    /** Gives the id of its process after so many ms. */
    carry: { input: z.number(), output: z.number(), durable: { ackWait: 600 } },
    /** Ends its process. */
    poison: { input: z.number(), output: z.number(), durable: { ackWait: 400, deliveries: 2 } },
  },
});

/** Asks models; each process is an agent of its own, so that it can be told what to do. */
export const asker = (name: string) =>
  agent(name, {
    capabilities: {
      ask: {
        input: z.object({
          calls: z.number(),
          lanes: z.number().default(1),
          /** Between the calls of a lane, in ms. */
          pause: z.number().default(0),
          ask: z.string().default("Hello"),
          /** Print every charge. */
          tell: z.boolean().default(false),
        }),
        output: z.object({
          outcomes: z.record(z.string(), z.number()),
          costUsd: z.number(),
          ms: z.number(),
          p99: z.number(),
        }),
        timeout: "2m",
      },
    },
  });

/** Runs tool loops as tasks. */
export const Researcher = agent("researcher", {
  capabilities: {
    research: {
      input: z.object({ name: z.string(), dieAt: z.string() }),
      output: z.object({ text: z.string(), steps: z.number() }),
      durable: { ackWait: "1s", deliveries: 20 },
    },
  },
});

/** Hauls parcels: each haulier is an agent of its own, of one process or several. Performing writes `began <parcel>`. */
export const haulier = (name: string) =>
  agent(name, {
    capabilities: {
      bid: { input: z.string(), output: z.object({ cost: z.number() }), idempotent: true },
      /** Takes so many ms, and gives the id of its process. */
      perform: {
        input: z.object({ parcel: z.string(), ms: z.number() }),
        output: z.number(),
        durable: { ackWait: 600 },
      },
      /** Writes `lost <parcel>`. */
      lost: { input: z.string(), output: z.null(), idempotent: true },
    },
  });

/** Talks: answers with its name, what it was told last, and the id of its process. */
export const talker = (name: string) =>
  agent(name, {
    capabilities: {
      reply: {
        input: z.object({ text: z.string() }),
        output: z.object({ text: z.string(), pid: z.number() }),
        idempotent: true,
      },
    },
  });
