import * as fc from "fast-check";
import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { MeshError } from "./errors.ts";
import { topic, topicPattern, topicSubject, type Topic, type TopicSchema } from "./topic.ts";

const Bars = topic("bars.{symbol}", {
  schema: z.object({ symbol: z.string(), close: z.number() }),
});
const Fills = topic("fills.{desk}.{orderId}.done", {
  schema: z.object({ desk: z.string(), orderId: z.number() }),
  description: "Filled orders",
});
const News = topic("news.market", { schema: z.string() });
/** Any UTF-16, halves of surrogate pairs included. */
const utf16Text = fc
  .array(fc.oneof(fc.nat(0x7f), fc.nat(0xffff), fc.integer({ min: 0xd800, max: 0xdfff })), {
    maxLength: 200,
  })
  .map((units) => String.fromCharCode(...units));

const anything = z.record(z.string(), z.union([z.string(), z.number()]));

function failure(run: () => unknown): MeshError {
  try {
    run();
  } catch (error) {
    if (error instanceof MeshError) return error;
    throw error;
  }
  throw new Error("Nothing was thrown.");
}

describe("topic", () => {
  test("is a value that holds its name, schema and parameters", () => {
    expect(Fills).toMatchObject({
      kind: "topic",
      description: "Filled orders",
      parameters: ["desk", "orderId"],
    });
    expect(News).toMatchObject({ name: "news.market", description: "", parameters: [] });
  });

  test.each([
    "",
    ".",
    "a.",
    ".a",
    "a..b",
    "a.*",
    ">",
    "a.>",
    "a b",
    "{}",
    "{a b}",
    "x{a}",
    "{a}x",
    "{a}{b}",
    "{a",
    "a}",
    "{1a}",
    "{a.b}",
    "é",
    "__proto__",
    `a.${"x".repeat(64)}`,
  ])("%j is no name", (name) => {
    expect(failure(() => topic(name, { schema: z.any() })).code).toBe("INVALID_CONTRACT");
  });

  test("a parameter cannot stand in a name twice", () => {
    expect(failure(() => topic("a.{x}.{x}", { schema: anything as never })).message).toMatch(
      /names \{x\} twice/,
    );
  });

  test.each<[unknown]>([
    [undefined],
    [null],
    [String],
    [{ type: "string" }],
    [{ safeParse: () => 1 }],
  ])("%j is no schema", (schema) => {
    const error = failure(() => topic("a", { schema: schema as z.ZodType }));
    expect(error).toMatchObject({
      code: "INVALID_CONTRACT",
      message: "Topic a: schema is not a zod schema.",
    });
  });

  test("parameters must be fields of the schema that are strings or numbers, or it does not compile", () => {
    type Name = (typeof Bars)["parameters"][number];
    expectTypeOf<Name>().toEqualTypeOf<"symbol">();
    expectTypeOf<(typeof Fills)["parameters"][number]>().toEqualTypeOf<"desk" | "orderId">();
    expectTypeOf<(typeof News)["parameters"][number]>().toEqualTypeOf<never>();
    expectTypeOf(Bars).toExtend<Topic>();
    expectTypeOf<z.output<(typeof Bars)["schema"]>>().toEqualTypeOf<{
      symbol: string;
      close: number;
    }>();
    expectTypeOf<z.ZodObject<{ symbol: z.ZodString; close: z.ZodNumber }>>().toExtend<
      TopicSchema<"bars.{symbol}">
    >();
    expectTypeOf<z.ZodObject<{ close: z.ZodNumber }>>().not.toExtend<
      TopicSchema<"bars.{symbol}">
    >();
    expectTypeOf<z.ZodObject<{ symbol: z.ZodBoolean }>>().not.toExtend<
      TopicSchema<"bars.{symbol}">
    >();
    expectTypeOf<z.ZodObject<{ symbol: z.ZodOptional<z.ZodString> }>>().not.toExtend<
      TopicSchema<"bars.{symbol}">
    >();
    expectTypeOf<z.ZodObject<{ a: z.ZodString }>>().not.toExtend<TopicSchema<"x.{a}.{b}">>();
    expectTypeOf<z.ZodString>().not.toExtend<TopicSchema<"bars.{symbol}">>();
    expectTypeOf<z.ZodString>().toExtend<TopicSchema<"news">>();
  });
});

describe("topicSubject", () => {
  test("fills the parameters from the value", () => {
    expect(topicSubject(Bars, { symbol: "AAPL", close: 1 })).toBe("bars.AAPL");
    expect(topicSubject(Fills, { desk: "eu-1", orderId: 42 })).toBe("fills.eu-1.42.done");
    expect(topicSubject(News, "anything")).toBe("news.market");
  });

  test.each([
    ["BRK.B", "bars.BRK=2EB"],
    ["*", "bars.=2A"],
    [">", "bars.=3E"],
    ["a b", "bars.a=20b"],
    ["", "bars.=0"],
    ["$&", "bars.=24=26"],
    ["{symbol}", "bars.=7Bsymbol=7D"],
    ["漢", "bars.=E6=BC=A2"],
  ])("escapes %j", (symbol, subject) => {
    expect(topicSubject(Bars, { symbol, close: 1 })).toBe(subject);
  });

  test.each([
    [0, "bars.0"],
    [-0, "bars.0"],
    [-1.5, "bars.-1=2E5"],
    [1e21, "bars.1e=2B21"],
    [Number.NaN, "bars.NaN"],
    [-Infinity, "bars.-Infinity"],
  ])("writes the number %d as one token", (symbol, subject) => {
    expect(topicSubject(Bars, { symbol })).toBe(subject);
  });

  test.each<[unknown]>([
    [undefined],
    [null],
    [5],
    ["text"],
    [{}],
    [{ symbol: null }],
    [{ symbol: true }],
    [{ symbol: ["A"] }],
    [{ symbol: { toString: () => "A" } }],
    [{ symbol: 5n }],
    [() => 1],
  ])("%o has no such field, which is INVALID_INPUT", (value) => {
    const error = failure(() => topicSubject(Bars, value));
    expect(error).toMatchObject({
      code: "INVALID_INPUT",
      message: "Topic bars.{symbol}: the value's symbol must be a string or number.",
    });
  });

  test("a parameter called like something that objects inherit needs a field of its own", () => {
    for (const name of ["constructor", "toString", "__proto__", "hasOwnProperty"]) {
      const odd: Topic = topic(`x.{${name}}`, { schema: z.any() });
      expect(failure(() => topicSubject(odd, {})).code).toBe("INVALID_INPUT");
    }
    const named: Topic = topic("x.{constructor}", { schema: z.any() });
    expect(topicSubject(named, { constructor: "A" })).toBe("x.A");
    expect(topicPattern(named)).toBe("x.*");
  });

  test("no value can add a token or a wildcard, and different values never share a subject", () => {
    const two = topic("t.{a}.{b}", { schema: z.object({ a: z.string(), b: z.string() }) });
    const text = fc.oneof(
      utf16Text,
      fc.string({ unit: fc.constantFrom("*", ">", ".", " ", "=", "a", "\n") }),
    );
    fc.assert(
      fc.property(text, text, text, text, (a, b, c, d) => {
        const subject = topicSubject(two, { a, b });
        expect(subject).toMatch(/^t\.[A-Za-z0-9_=-]+\.[A-Za-z0-9_=-]+$/);
        expect(subject === topicSubject(two, { a: c, b: d })).toBe(a === c && b === d);
        expect(topicPattern(two, { a, b })).toBe(subject);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("topicPattern", () => {
  test("leaves open what is not asked for", () => {
    expect(topicPattern(Fills)).toBe("fills.*.*.done");
    expect(topicPattern(Fills, { desk: "eu.1" })).toBe("fills.eu=2E1.*.done");
    expect(topicPattern(Fills, { orderId: 0, desk: undefined })).toBe("fills.*.0.done");
    expect(topicPattern(News)).toBe("news.market");
  });

  test("a wildcard as a value is only that text", () => {
    expect(topicPattern(Bars, { symbol: "*" })).toBe("bars.=2A");
    expect(topicPattern(Bars, { symbol: ">" })).toBe("bars.=3E");
  });

  test("a parameter that the topic does not have is INVALID_CONTRACT", () => {
    expect(failure(() => topicPattern(Bars, { ticker: "A" })).message).toMatch(/has no \{ticker\}/);
  });
});
