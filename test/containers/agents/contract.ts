import { agent } from "@plexus/core";
import { z } from "zod";

const Sum = z.object({ a: z.number(), b: z.number(), ms: z.number() });

/** Who did the work. */
const Served = z.object({ name: z.string(), uid: z.number(), pid: z.number() });

/** Adds after so many ms: what the tests keep busy while containers break. */
export const Clerk = agent("clerk", {
  capabilities: {
    /** May be repeated elsewhere. */
    add: { input: Sum, output: z.number(), idempotent: true },
    /** Must not run twice, so every call that is lost shows. */
    serve: { input: z.object({ ms: z.number() }), output: Served },
    /** The result carries an id of its execution: a second record of the same task would differ. */
    file: {
      input: Sum,
      output: z.object({ sum: z.number(), execution: z.string() }),
      durable: { ackWait: "3s", deliveries: 100 },
    },
  },
});
