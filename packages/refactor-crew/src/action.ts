import { topic } from "@plexus/core";
import * as z from "zod";
import { Assignment } from "./plan.ts";

const Spot = z.object({ path: z.string(), key: z.string() });
const Version = z.int().optional();

const About = { agent: z.string(), at: z.number() };

/** A file on which a change met others that its author had not seen. */
export const ClashedFile = z.object({
  path: z.string(),
  /** `write/write`, `read/write` and so on. */
  type: z.string(),
  /** The version that it had seen there. */
  base: z.int(),
  /** Who has changed it since, in which version, the newest first. */
  theirs: z.array(z.object({ by: z.string(), version: z.int(), title: z.string() })),
  winner: z.enum(["ours", "theirs", "merged"]),
});
export type ClashedFile = z.output<typeof ClashedFile>;

/** Something that an agent does: what the others, the timeline and the score go by. */
export const Action = z.discriminatedUnion("kind", [
  /** It is there; begun anew, it goes on where it was. */
  z.object({ ...About, kind: z.literal("joined"), pid: z.int() }),
  /** All are there. */
  z.object({ ...About, kind: z.literal("started") }),
  z.object({
    ...About,
    kind: z.literal("took"),
    job: z.string(),
    title: z.string(),
    version: Version,
    attempt: z.int(),
  }),
  /** While it thought, somebody changed what it thought about. */
  z.object({
    ...About,
    kind: z.literal("told"),
    job: z.string(),
    path: z.string(),
    by: z.string(),
    version: Version,
    reaction: z.enum(["starts over", "goes on"]),
  }),
  /** What it wanted to bring in met changes that it had not seen. */
  z.object({
    ...About,
    kind: z.literal("clashed"),
    job: z.string(),
    title: z.string(),
    conflict: z.string(),
    files: z.array(ClashedFile),
    strategy: z.string(),
    landed: z.boolean(),
  }),
  z.object({
    ...About,
    kind: z.literal("landed"),
    job: z.string(),
    title: z.string(),
    version: Version,
    paths: z.array(z.string()),
    spots: z.array(Spot),
    /** How the change was found: by rules or a model, or by rules because the model failed. */
    by: z.enum(["rules", "model", "rules instead of the model"]),
    /** In a plain folder: files in which something was that this agent had never seen, and whose it was. */
    unseen: z.array(z.object({ path: z.string(), by: z.string() })),
  }),
  z.object({
    ...About,
    kind: z.literal("dropped"),
    job: z.string(),
    title: z.string(),
    why: z.string(),
  }),
  z.object({ ...About, kind: z.literal("finished") }),
  z.object({
    ...About,
    kind: z.literal("reviewed"),
    job: z.string(),
    /** Follow-ups that were asked for. */
    asks: z.int(),
    /** What a model has to say about it. */
    note: z.string().optional(),
  }),
  z.object({
    ...About,
    kind: z.literal("asked"),
    ask: Assignment,
    title: z.string(),
    why: z.string(),
  }),
  z.object({
    ...About,
    kind: z.literal("voted"),
    conflict: z.string(),
    prefers: z.string(),
    why: z.string(),
  }),
  z.object({
    ...About,
    kind: z.literal("tested"),
    version: Version,
    passed: z.int(),
    failed: z.int(),
    failures: z.array(z.string()),
  }),
  z.object({
    ...About,
    kind: z.literal("reverted"),
    title: z.string(),
    of: z.string(),
    version: Version,
    failures: z.array(z.string()),
  }),
  z.object({
    ...About,
    kind: z.literal("delivered"),
    version: Version,
    passed: z.int(),
    failed: z.int(),
    failures: z.array(z.string()),
  }),
]);
export type Action = z.output<typeof Action>;

/** An action before it is told. */
export type News = Action extends infer One
  ? One extends Action
    ? Omit<One, "agent" | "at">
    : never
  : never;

/** Every action of a run, kept for whoever begins anew. */
export const Actions = topic("crew.actions", { schema: Action, durable: {} });

/** What is told once, however often its agent begins anew; undefined for what may be told again. */
export function idOf(action: Action): string | undefined {
  switch (action.kind) {
    case "landed":
    case "dropped":
    case "reviewed":
      return `${action.kind}:${action.job}`;
    case "reverted":
      return `reverted:${action.of}`;
    case "asked":
      return `asked:${action.ask.id}`;
    case "started":
    case "finished":
    case "delivered":
      return `${action.kind}:${action.agent}`;
    default:
      return undefined;
  }
}
