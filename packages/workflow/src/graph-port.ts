import type { Checkpointer, Duration, Entity, ThreadKeeper, Topic } from "@plexus/core";

/** How a graph is hosted. */
export interface GraphHostOptions {
  /** How long the threads of a process that is not heard of stay its own; at least 500 ms. Default 5 s. */
  readonly lease?: Duration;
  /** Share of the threads relative to other processes. Default 1. */
  readonly weight?: number;
  /** How long a drain waits until everything is handed over. Default 30 s. */
  readonly drainTimeout?: Duration;
}

/** What hosts graphs, and reaches those that are hosted: a mesh. */
export interface GraphMesh {
  /** Hears of runs that fail in this process. */
  readonly log?: { warn(fields: object, text: string): void };
  hostThreads(
    contract: Entity,
    keep: (store: Checkpointer) => ThreadKeeper,
    options: { readonly weight?: number; readonly drainTimeout?: Duration },
  ): Promise<HostedGraph>;
  threads(contract: Entity): Checkpointer;
  get(contract: Entity, key: string): unknown;
  publish(topic: Topic, value: unknown): Promise<void>;
  subscribe(
    topic: Topic,
    handler: (value: unknown) => void,
    options: { readonly where: Record<string, string> },
  ): Promise<{ unsubscribe(): Promise<void> }>;
}

/** This process executes a share of the graph's threads until this is drained. */
export interface HostedGraph extends AsyncDisposable {
  /** Hands the threads over: what is executed has 10 s to end, and the others go on behind it. */
  drain(): Promise<void>;
}
