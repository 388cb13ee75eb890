import { agent, topic } from "@plexus/core";
import { z } from "zod";

const Entry = z.object({ account: z.string(), n: z.number() });

/** Numbered per account, in four partitions. */
export const Entries = topic("entries.{account}", { schema: Entry, durable: { partitions: 4 } });

/** Hears of each entry as it is handled, by whomever: so that a test sees one order. */
export const Recorder = agent("recorder", {
  capabilities: {
    record: { input: Entry.extend({ pid: z.number() }), output: z.null(), idempotent: true },
  },
});
