import { topic } from "@plexus/core";
import * as z from "zod";
import { Approval, ApprovalRequest } from "./large-order.ts";
import { LatencyCounts } from "./latency.ts";
import { Role, RunPlan } from "./run-plan.ts";

const Count = z.int().min(0);
/** Microseconds since the epoch. */
const Micros = z.int();

/** Stored, so that a process that begins anew learns what the run has come to. */
export const Commands = topic("desk.commands", {
  description: "What the desk asks of all processes",
  schema: z.discriminatedUnion("kind", [
    /** Read what this run needs, then say that you are ready. */
    z.object({ kind: z.literal("prepare"), plan: RunPlan }),
    /** Slot 0 is due at `startAt`. */
    z.object({ kind: z.literal("start"), startAt: Micros }),
    /** Publish the slots before this one and no more. */
    z.object({ kind: z.literal("stop"), limit: Count }),
    /** Everything is processed: send the last status. */
    z.object({ kind: z.literal("finish") }),
  ]),
  durable: { keep: "1h" },
});
export type Command = z.infer<(typeof Commands)["schema"]>;

/** Of orders that wait for a human. */
export const ApprovalRequests = topic("desk.approvals.asked", {
  description: "Large orders that wait for a human's approval",
  schema: ApprovalRequest,
  durable: { keep: "1h" },
});

/** Stored, so that whoever sees the order through next knows what was said. */
export const Approvals = topic("desk.approvals.given", {
  description: "What humans say about large orders: the first word about an order counts",
  schema: Approval,
  durable: { keep: "1h" },
});

/** How far a process is; it only ever advances, until it begins anew. */
export const Phase = z.enum(["up", "ready", "running", "done", "finished"]);
export type Phase = z.infer<typeof Phase>;

/** What one process tells of itself; counts are totals since the start of the run, its predecessors' included. */
export const SeatStatus = z.object({
  seat: z.string(),
  role: Role,
  pid: z.int(),
  /** How many times the process has been started. */
  life: z.int().min(1),
  phase: Phase,
  /** Items by hop. */
  sent: z.record(z.string(), Count),
  received: z.record(z.string(), Count),
  /** Events that came again, and events that never came though later ones did. */
  duplicates: Count,
  missing: Count,
  /** Decisions by action, rejections by reason and the like. */
  counts: z.record(z.string(), Count),
  latency: z.record(z.string(), LatencyCounts),
  /** By subject, how many of its events have been handled and timed. */
  handled: z.record(z.string(), Count),
  inflight: Count,
  /** When this process last decided something; 0 if it never did. */
  lastAt: Micros,
  cpuMs: z.number().min(0),
});
export type SeatStatus = z.infer<typeof SeatStatus>;

/** Stored, so that a process that begins anew times nothing twice and forgets nothing that was timed. */
export const Statuses = topic("desk.status.{seat}", {
  description: "Counters and latencies of every process, twice a second",
  schema: SeatStatus,
  durable: { keep: "1h" },
});
