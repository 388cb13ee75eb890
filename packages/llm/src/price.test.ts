import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nanoUsd } from "./amount.ts";
import type { ModelRequest } from "./model.ts";
import { pricing, upperBound } from "./price.ts";

const usage = { inputTokens: 1_000, outputTokens: 100, cachedTokens: 0 };

describe("the price of a call", () => {
  test("is what the settings say", async () => {
    const cost = await pricing({ model: "x", price: { input: 2, output: 10, cached: 0.5 } });
    expect(cost(usage)).toBe(nanoUsd(0.003));
    expect(cost({ ...usage, cachedTokens: 1_000 })).toBe(nanoUsd(0.001_5));
  });

  test.each([
    [{ model: "gpt-4o", baseUrl: "https://api.openai.com/v1" }, 0.003_5],
    [{ model: "openai/gpt-4o", baseUrl: "https://gateway.example/v1" }, 0.003_5],
    [{ model: "claude-sonnet-4-5", provider: "anthropic" }, 0.004_5],
    [{ model: "gemini-2.5-flash", provider: "google" }, 0.000_55],
  ] as const)("is known for %o", async (spec, expected) => {
    const cost = await pricing(spec);
    expect(cost(usage)).toBe(nanoUsd(expected));
    expect(cost(usage)).toBe(nanoUsd(expected)); // the second time without asking the catalogue
  });

  test("is unknown for a model that nobody knows", async () => {
    expect(
      (await pricing({ model: "stub-model", baseUrl: "http://127.0.0.1/v1" }))(usage),
    ).toBeUndefined();
  });

  test("is a whole number of nano-dollars, rounded up", () => {
    expect(nanoUsd(0.000_000_000_1)).toBe(1);
    expect(nanoUsd(0.1 + 0.2)).toBe(300_000_000);
    expect(nanoUsd(1)).toBe(1e9);
  });
});

test("what a request can be counted as is more than its bytes, whatever is in it", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.string(), (text, name) => {
      const request: ModelRequest = {
        messages: [
          { role: "user", text },
          { role: "assistant", text: "", toolCalls: [{ id: "1", name, input: { text } }] },
          { role: "tool", results: [{ id: "1", name, output: text }] },
        ],
        tools: [{ name, description: text, input: { type: "object" } }],
        schema: { description: text },
      };
      const bound = upperBound(request, 7);
      const bytes = Buffer.byteLength(text) * 5 + Buffer.byteLength(name) * 3;
      expect(bound.inputTokens).toBeGreaterThan(bytes);
      expect(bound.outputTokens).toBe(7);
    }),
  );
});
