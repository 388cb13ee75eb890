import type { z } from "zod";

/** True for a zod 4 schema, whichever copy of zod it came from. */
export function isSchema(value: unknown): value is z.ZodType {
  return (
    typeof value === "object" &&
    value !== null &&
    "_zod" in value &&
    typeof (value as { safeParse?: unknown }).safeParse === "function"
  );
}
