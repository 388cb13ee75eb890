import { agent } from "@plexus/core";
import { z } from "zod";

const Sum = z.object({ a: z.number(), b: z.number(), ms: z.number() });

/** Adds after a while, so that there is always something in flight when its host is killed. */
export const Clerk = agent("clerk", {
  capabilities: {
    add: { input: Sum, output: z.number(), durable: { ackWait: "2s", deliveries: 100 } },
  },
});
