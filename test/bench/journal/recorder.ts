import type { Place } from "../contenders/contender.ts";
import type { Message } from "../message.ts";

/** One process's connection to something that records messages by key and in order. */
export interface Recorder {
  append(key: string, message: Message): Promise<unknown>;
  /** Records one message for each of these keys: all of them or none. */
  appendAll(keys: readonly string[], message: Message): Promise<unknown>;
  /** Adds up, in this process, what was recorded so far; resolves with the number of messages. */
  rebuild(): Promise<number>;
}

export const RECORDERS = {
  nats: "js.publish as it comes, and a consumer without acknowledgements whose messages are decoded; several keys: the client's own batch",
  plexus: "Plexus journal: typed events, ids, causal parents, MessagePack, zod on both sides",
} as const;

export type RecorderName = keyof typeof RECORDERS;

const openers: Record<RecorderName, (place: Place) => Promise<Recorder>> = {
  nats: async (place) => (await import("./nats.ts")).open(place),
  plexus: async (place) => (await import("./plexus.ts")).open(place),
};

export const openRecorder = (name: RecorderName, place: Place): Promise<Recorder> =>
  openers[name](place);
