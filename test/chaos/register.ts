import { entity, state } from "@plexus/core";
import type { Model } from "@plexus/testing";
import { z } from "zod";

/** A value that nobody else writes: who, and the how manieth. Empty: nothing was ever written. */
export type Mark = string;

/** Registers as keys of an entity: a command each, and the answer of its owner. */
export const Cell = entity("cell", {
  partitions: 4,
  lease: "1s",
  state: z.object({ mark: z.string() }),
  initial: { mark: "" },
  events: { written: z.object({ mark: z.string() }) },
  fold: { written: (_, { mark }) => ({ mark }) },
  commands: {
    read: { input: z.void(), output: z.string() },
    /** Gives what was there before. */
    exchange: { input: z.string(), output: z.string() },
    swap: { input: z.object({ from: z.string(), to: z.string() }), output: z.boolean() },
  },
});

/** The same as keys of a shared state. */
export const Register = state("register", { schema: z.string() });

/** Where the notes are kept by which staleness is measured. */
export const Ticks = state("ticks", { schema: z.number() });

/** What a client does to a register. */
export interface Request {
  readonly key: string;
  readonly do: "read" | "write" | "exchange" | "swap";
  /** Of a swap: what must be there. */
  readonly from?: Mark;
  /** What is put there. */
  readonly to?: Mark;
}

/** What was read, what was there before, whether the swap took place. */
export type Answer = Mark | boolean;

/** A register: reads give what was written last. */
export const registerModel: Model<Mark, Request, Answer> = {
  initial: "",
  step(mark, { do: what, from, to = "" }, answer) {
    const unknown = answer === undefined;
    if (what === "read") return unknown || answer === mark ? mark : undefined;
    if (what === "write") return to;
    if (what === "exchange") return unknown || answer === mark ? to : undefined;
    const swapped = mark === from;
    if (!unknown && answer !== swapped) return undefined;
    return swapped ? to : mark;
  },
  show: (mark) => mark,
  partition: ({ key }) => key,
};
