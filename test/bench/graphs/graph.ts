/** The graphs that are measured, by whoever executes them. Each resolves with what its runs have written. */
export interface Graphs {
  /** Five nodes in a row; each appends its name. */
  linear(): Promise<readonly string[]>;
  /** One node sends 100 items to another one, which appends each. */
  send(): Promise<readonly number[]>;
}

export const NAMES = ["a", "b", "c", "d", "e"] as const;
export const ITEMS: readonly number[] = Array.from({ length: 100 }, (_, i) => i);

export const ENGINES = {
  langgraph: "LangGraph.js 1.4.12, no checkpointer, Annotation channels",
  plexus: "@plexus/workflow, no checkpointer, zod-checked channels",
} as const;

export type EngineName = keyof typeof ENGINES;

const openers: Record<EngineName, () => Promise<Graphs>> = {
  langgraph: async () => (await import("./langgraph.ts")).open(),
  plexus: async () => (await import("./plexus.ts")).open(),
};

export const openGraphs = (name: EngineName): Promise<Graphs> => openers[name]();
