import type { Message } from "../message.ts";

/** Where a contender works: a namespace of its own on a broker it may share. */
export interface Place {
  readonly servers: string;
  readonly namespace: string;
}

/** How a caller picks among replicas; `broker` leaves it to the NATS queue group. */
export type Placement =
  | "broker"
  | "roundRobin"
  | "weightedRoundRobin"
  | "leastOutstanding"
  | "peakEwma";

export interface RespondOptions {
  /** What answering costs, besides sending back the message that came. */
  readonly work: () => void | Promise<void>;
  /** How many calls this replica works on at a time. */
  readonly concurrency: number;
}

export interface CallOptions {
  /** Replicas to wait for before the first call. */
  readonly replicas: number;
  readonly placement?: Placement | undefined;
}

/** One process's connection through a contender, with what the benches need of it and nothing else. */
export interface Link {
  /** Answers calls; returns once callers can reach it. */
  respond(options: RespondOptions): Promise<void>;
  /** Waits until the replicas are known, then gives a function that sends the message and waits for the answer. */
  caller(message: Message, options: CallOptions): Promise<() => Promise<unknown>>;
  /** Hands on what is published on the topic; returns once the broker knows. */
  subscribe(topic: string, receive: (message: Message) => void | Promise<void>): Promise<void>;
  /** Waits until a subscriber of the topic is known, then gives a function that publishes on it. */
  publisher(topic: string): Promise<(message: Message) => void | Promise<void>>;
}

export const CONTENDERS = {
  nats: "@nats-io/transport-node 3 as it comes",
  "nats-no-traces": "the same, connected with noAsyncTraces (informational)",
  moleculer: "Moleculer 0.15 on NATS, JSON, nothing switched on",
  "moleculer-guarded":
    "the same with circuit breaker, bulkhead, metrics and a timeout: like for like",
  plexus: "Plexus: MessagePack, zod on both sides, metrics on",
} as const;

export type ContenderName = keyof typeof CONTENDERS;

/** Imported one by one, so that a process loads only the client that it measures. */
const openers: Record<ContenderName, (place: Place) => Promise<Link>> = {
  nats: async (place) => (await import("./nats.ts")).open(place, { noAsyncTraces: false }),
  "nats-no-traces": async (place) =>
    (await import("./nats.ts")).open(place, { noAsyncTraces: true }),
  moleculer: async (place) => (await import("./moleculer.ts")).open(place, { guarded: false }),
  "moleculer-guarded": async (place) =>
    (await import("./moleculer.ts")).open(place, { guarded: true }),
  plexus: async (place) => (await import("./plexus.ts")).open(place),
};

/** Connects this process through a contender. */
export const open = (contender: ContenderName, place: Place): Promise<Link> =>
  openers[contender](place);
