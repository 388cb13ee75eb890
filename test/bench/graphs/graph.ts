/** The graphs that are measured, by whoever executes them. Each resolves with what its runs have written. */
export interface Graphs {
  /** Five nodes in a row; each appends its name. */
  linear(): Promise<readonly string[]>;
  /** One node sends 100 items to another one, which appends each. */
  send(): Promise<readonly number[]>;
  /** The five nodes as a run that survives its process. */
  durable(): Promise<readonly string[]>;
}

/** Where what is recorded goes. */
export interface Store {
  readonly servers: string;
  readonly namespace: string;
  /** For a database file. */
  readonly folder: string;
}

export const NAMES = ["a", "b", "c", "d", "e"] as const;
export const ITEMS: readonly number[] = Array.from({ length: 100 }, (_, i) => i);

export const ENGINES = {
  langgraph:
    "LangGraph.js 1.4.12, Annotation channels; durable: its SQLite saver on a file, synced at checkpoints",
  plexus:
    "@plexus/workflow, zod-checked channels; durable: hosted on a mesh, and begun through it, in the same process",
} as const;

export type EngineName = keyof typeof ENGINES;

const openers: Record<EngineName, (store: Store) => Promise<Graphs>> = {
  langgraph: async (store) => (await import("./langgraph.ts")).open(store),
  plexus: async (store) => (await import("./plexus.ts")).open(store),
};

export const openGraphs = (name: EngineName, store: Store): Promise<Graphs> => openers[name](store);
