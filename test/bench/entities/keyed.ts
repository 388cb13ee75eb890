import type { Place } from "../contenders/contender.ts";
import type { Message } from "../message.ts";

/** One process's connection to something that records messages by key, with what the bench needs of it and nothing else. */
export interface Keyed {
  /** Owns all keys: records each message before it is answered, those of a key one after the other. */
  own(): Promise<void>;
  caller(): Promise<KeyedCaller>;
}

export interface KeyedCaller {
  /** Resolves when the message is recorded, and its owner has answered. */
  call(key: string, message: Message): Promise<unknown>;
  /** Resolves when the broker has stored the message. */
  send(key: string, message: Message): Promise<unknown>;
  /** Resolves when everything that was sent to a key is recorded. */
  executed(key: string): Promise<unknown>;
}

export const KEYED = {
  nats: "a responder that stores each message with js.publish and an expected sequence of its key; sends are js.publish alone",
  plexus:
    "Plexus entities, 64 partitions: state folded, outcome remembered, MessagePack, zod, metrics on",
} as const;

export type KeyedName = keyof typeof KEYED;

const openers: Record<KeyedName, (place: Place) => Promise<Keyed>> = {
  nats: async (place) => (await import("./nats.ts")).open(place),
  plexus: async (place) => (await import("./plexus.ts")).open(place),
};

export const openKeyed = (name: KeyedName, place: Place): Promise<Keyed> => openers[name](place);
