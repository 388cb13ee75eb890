import { agent } from "@plexus/core";
import { z } from "zod";
import { Message } from "./message.ts";

/** What several tenants have executed; gives when it began, by the machine's clock. */
export const Shared = agent("shared", {
  capabilities: { work: { input: Message, output: z.number(), durable: true } },
});
