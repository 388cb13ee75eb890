import { z } from "zod";
import type { JsonSchema, ModelReply, ModelRequest } from "./model.ts";

/** What an answer was found to be. */
export type Checked = { readonly value: unknown } | { readonly problem: string };

const MAX_PROBLEM = 1_000;

/** A zod schema as the JSON Schema that providers take. */
export function jsonSchema(schema: z.ZodType): JsonSchema {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io: "input" });
  return rest;
}

/** Reads an answer that should match a schema. Models like to put JSON into a code fence: that is taken off. */
export function check(schema: z.ZodType, text: string): Checked {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\s*```(?:json)?\s*|\s*```\s*$/g, ""));
  } catch (error) {
    return { problem: `It is not JSON: ${(error as Error).message}` };
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return { value: parsed.data };
  return { problem: z.prettifyError(parsed.error).slice(0, MAX_PROBLEM) };
}

/** The request that shows a model what is wrong with its answer. */
export function repairRequest(
  request: ModelRequest,
  reply: ModelReply,
  problem: string,
): ModelRequest {
  return {
    ...request,
    messages: [
      ...request.messages,
      { role: "assistant", text: reply.text === "" ? "(nothing)" : reply.text },
      {
        role: "user",
        text: `Your answer does not match the schema. ${problem}\nAnswer again, with nothing but the corrected JSON.`,
      },
    ],
  };
}
