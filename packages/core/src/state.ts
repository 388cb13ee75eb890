import type { z } from "zod";
import { toMs, type Duration } from "./duration.ts";
import { MeshError } from "./errors.ts";
import { isSchema } from "./schema.ts";
import { token } from "./token.ts";

/** A shared state's contract: small values by key, all of one schema, that any process of the mesh may read and change. */
export interface State<Schema extends z.ZodType = z.ZodType> {
  readonly kind: "state";
  readonly name: string;
  readonly description: string;
  readonly schema: Schema;
  /** `file` survives the end of all brokers, `memory` does not. */
  readonly storage: "file" | "memory";
  /** How long a value is kept after it was written, in ms; undefined: for ever. Only in memory. */
  readonly ttlMs: number | undefined;
}

/** What a shared state is declared with. */
export interface StateSpec<Schema extends z.ZodType> {
  readonly schema: Schema;
  readonly description?: string;
  /** Default `file`. */
  readonly storage?: "file" | "memory";
  /** How long a value is kept after it was written, to a whole second, at least 1 s. Only in memory. Default: for ever. */
  readonly ttl?: Duration;
}

const MIN_TTL_MS = 1_000; // the broker's clock for it ticks in seconds

/**
 * Declares a shared state. Its name is a token (`[A-Za-z0-9_-]{1,63}`); anything malformed throws `INVALID_CONTRACT` at once.
 *
 * @example
 * const Flags = state("flags", { schema: z.object({ on: z.boolean(), share: z.number() }) });
 */
export function state<Schema extends z.ZodType>(
  name: string,
  spec: StateSpec<Schema>,
): State<Schema> {
  const demand = (condition: boolean, text: string): void => {
    if (!condition) throw new MeshError("INVALID_CONTRACT", `State ${name}: ${text}.`);
  };
  const { schema, description = "", storage = "file", ttl } = spec;
  token("State", name);
  demand(isSchema(schema), "schema is not a zod schema");
  demand(storage === "file" || storage === "memory", "storage is file or memory");
  demand(
    ttl === undefined || storage === "memory",
    "values with a ttl must be in memory (storage: memory): on file they can stop all writes on nats-server 2.14.0 to 2.14.4",
  );
  const ttlMs = ttl === undefined ? undefined : toMs(ttl);
  demand(ttlMs === undefined || ttlMs >= MIN_TTL_MS, `ttl must be at least ${MIN_TTL_MS} ms`);
  return { kind: "state", name, description, schema, storage, ttlMs };
}
