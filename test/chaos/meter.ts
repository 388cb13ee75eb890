import { entity } from "@plexus/core";
import { z } from "zod";

const Reading = z.object({ note: z.string() });

/** Counts its readings. What matters is what stands in the journal, so the state is small. */
export const Meter = entity("meter", {
  partitions: 64,
  lease: "2s",
  state: z.object({ count: z.number() }),
  initial: { count: 0 },
  events: { added: Reading },
  fold: { added: ({ count }) => ({ count: count + 1 }) },
  commands: { add: { input: Reading, output: z.number(), timeout: "60s" } },
});
