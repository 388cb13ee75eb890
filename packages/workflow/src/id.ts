import { createUlid } from "@plexus/core";

/** A new ULID: for runs, threads and messages without an id. */
export const newId: () => string = createUlid(Date.now, Math.random);
