import { agent } from "@plexus/core";
import { z } from "zod";

const Sum = z.object({ a: z.number(), b: z.number(), ms: z.number() });

/** Adds after a while, so that there is always something in flight when its host is lost. */
export const Clerk = agent("clerk", {
  capabilities: {
    add: { input: Sum, output: z.number(), durable: { deliveries: 100 } },
  },
});

/** How long a clerk may be silent before others have its tasks: the default. */
export const HEARTBEAT_WINDOW_MS = 3_000;
