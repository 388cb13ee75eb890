import { agent, describeAgent } from "@plexus/core";
import { expect, test } from "vitest";
import { z } from "zod";
import { schemaText } from "./schema-text.ts";

function textOf(input: z.ZodType): string {
  const contract = agent("a", { capabilities: { c: { input, output: z.string() } } });
  return schemaText(describeAgent(contract).capabilities["c"]!.input);
}

test.each([
  [z.string(), "string"],
  [z.iso.datetime(), "date-time"],
  [z.bigint(), "any"],
  [z.literal("a"), '"a"'],
  [z.enum(["a", "b"]), '"a" | "b"'],
  [z.union([z.string(), z.number()]), "string | number"],
  [z.string().nullable(), "string | null"],
  [z.array(z.union([z.string(), z.number()])), "(string | number)[]"],
  [z.array(z.object({ n: z.number() })), "{ n: number }[]"],
  [z.tuple([z.string(), z.number()]), "[string, number]"],
  [z.record(z.string(), z.boolean()), "{ [key]: boolean }"],
  [z.object({ a: z.string(), b: z.number().optional() }), "{ a: string, b?: number }"],
  [z.object({}), "{}"],
])("a schema reads like the type it stands for: %#", (schema, text) => {
  expect(textOf(schema)).toBe(text);
});
