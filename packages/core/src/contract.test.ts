import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { agent, describeAgent, type Agent, type Capability } from "./contract.ts";
import { MeshError } from "./errors.ts";

const Window = z.object({ symbol: z.string(), closes: z.array(z.number()) });
const Analyst = agent("analyst", {
  description: "Scores a market window",
  version: "1.2.3",
  capabilities: {
    score: { input: Window, output: z.number(), idempotent: true, timeout: "250ms" },
    narrate: { description: "Tells it", input: Window, output: z.string(), stream: z.string() },
  },
});

const ok: Capability = { input: z.string(), output: z.string() };

function refusal(name: unknown, capabilities: unknown, rest: object = {}): MeshError {
  try {
    agent(name as string, { ...rest, capabilities: capabilities as Record<string, Capability> });
  } catch (error) {
    if (error instanceof MeshError) return error;
    throw error;
  }
  throw new Error("It was declared.");
}

describe("agent", () => {
  test("is a value that holds what was declared", () => {
    expect(Analyst).toMatchObject({ kind: "agent", name: "analyst", version: "1.2.3" });
    expect(Object.keys(Analyst.capabilities)).toStrictEqual(["score", "narrate"]);
    expect(agent("a", { capabilities: { run: ok } })).toMatchObject({
      description: "",
      version: "0.0.0",
    });
  });

  test.each(["1.2.3", "0.0.0", "10.20.30-beta.1"])("takes version %s", (version) => {
    expect(agent("a", { version, capabilities: { run: ok } }).version).toBe(version);
  });

  test.each(["", "1", "1.2", "v1.2.3", "1.2.3 ", "1.2.3\n", "latest"])(
    "refuses version %j",
    (version) => {
      expect(refusal("a", { run: ok }, { version })).toMatchObject({ code: "INVALID_CONTRACT" });
    },
  );

  const protoNamed = JSON.parse('{"__proto__":1}') as Record<string, unknown>;
  Object.defineProperty(protoNamed, "__proto__", { value: ok, enumerable: true });

  const thenNamed = JSON.parse('{"then":{}}') as Record<string, unknown>;

  test.each<[string, unknown, unknown, RegExp]>([
    ["a name with a dot", "a.b", { run: ok }, /Agent name "a.b"/],
    ["no name", undefined, { run: ok }, /Agent name undefined/],
    ["no capability", "a", {}, /no capability/],
    ["a capability with a space", "a", { "do it": ok }, /capability name "do it"/],
    ["a capability with a wildcard", "a", { "*": ok }, /capability name "\*"/],
    ["a capability of 64 characters", "a", { ["x".repeat(64)]: ok }, /capability name/],
    ["a capability called __proto__", "a", protoNamed, /capability name "__proto__"/],
    ["a capability called then", "a", thenNamed, /promise/],
    ["no input", "a", { run: { output: z.string() } }, /a\.run: input is not a zod schema/],
    ["no output", "a", { run: { input: z.string() } }, /a\.run: output is not a zod schema/],
    ["a class as schema", "a", { run: { ...ok, input: String } }, /input is not/],
    ["JSON Schema as schema", "a", { run: { ...ok, input: { type: "string" } } }, /input is not/],
    [
      "something with safeParse only",
      "a",
      { run: { ...ok, input: { safeParse: () => 1 } } },
      /input is not/,
    ],
    ["a stream that is no schema", "a", { run: { ...ok, stream: true } }, /a\.run: stream is not/],
    ["a capability that is nothing", "a", { run: null }, /input is not/],
    [
      "a timeout that is none",
      "a",
      { run: { ...ok, timeout: "soon" } },
      /"soon" is not a duration/,
    ],
  ])("refuses %s at the declaration", (_, name, capabilities, why) => {
    const error = refusal(name, capabilities);
    expect(error.code).toBe("INVALID_CONTRACT");
    expect(error.message).toMatch(why);
  });

  test("takes names that objects inherit", () => {
    const contract = agent("a", {
      capabilities: { constructor: ok, toString: ok, hasOwnProperty: ok },
    });
    expect(Object.keys(describeAgent(contract).capabilities)).toStrictEqual([
      "constructor",
      "toString",
      "hasOwnProperty",
    ]);
  });

  test("keeps the literal types of its capabilities", () => {
    type Capabilities = (typeof Analyst)["capabilities"];
    expectTypeOf<keyof Capabilities>().toEqualTypeOf<"score" | "narrate">();
    expectTypeOf<z.output<Capabilities["score"]["output"]>>().toEqualTypeOf<number>();
    expectTypeOf<z.input<Capabilities["score"]["input"]>>().toEqualTypeOf<{
      symbol: string;
      closes: number[];
    }>();
    expectTypeOf<Capabilities["score"]["idempotent"]>().toEqualTypeOf<true>();
    expectTypeOf<Capabilities["narrate"]["stream"]>().toEqualTypeOf<z.ZodString>();
    expectTypeOf<Capabilities["score"]>().not.toHaveProperty("stream");
    expectTypeOf(Analyst).toExtend<Agent>();
  });
});

describe("describeAgent", () => {
  test("gives the contract as JSON with JSON Schema", () => {
    const description = describeAgent(Analyst);
    expect(description).toMatchObject({
      name: "analyst",
      description: "Scores a market window",
      version: "1.2.3",
    });
    expect(description.capabilities["score"]).toMatchObject({
      description: "",
      idempotent: true,
      streaming: false,
      input: {
        $schema: "https://json-schema.org/draft/2020-12/schema",
        type: "object",
        properties: {
          symbol: { type: "string" },
          closes: { type: "array", items: { type: "number" } },
        },
        required: ["symbol", "closes"],
      },
      output: { type: "number" },
    });
    expect(description.capabilities["narrate"]).toMatchObject({
      description: "Tells it",
      streaming: true,
      idempotent: false,
    });
    expect(JSON.parse(JSON.stringify(description))).toStrictEqual(description);
  });

  test("describes what a caller sends and what it gets: a default is optional in and present out", () => {
    const schema = z.object({
      a: z.number().default(1),
      b: z.string().transform((text) => text.length),
    });
    const contract = agent("a", { capabilities: { run: { input: schema, output: schema } } });
    const { input, output } = describeAgent(contract).capabilities["run"]!;
    expect(input).toMatchObject({ required: ["b"], properties: { b: { type: "string" } } });
    expect(output).toMatchObject({ required: ["a", "b"], properties: { b: {} } });
  });

  const Tree = z.object({
    value: z.number(),
    get children() {
      return z.array(Tree);
    },
  });
  const twice = z.string().meta({ id: "twice" });

  test.each<[string, z.ZodType]>([
    ["date", z.date()],
    ["bigint", z.bigint()],
    ["Map", z.map(z.string(), z.date())],
    ["Set", z.set(z.bigint())],
    ["transform", z.string().transform(Number)],
    ["pipe", z.string().transform(Number).pipe(z.number())],
    ["preprocess", z.preprocess(String, z.string())],
    ["refinement", z.number().refine((n) => n > 1)],
    [
      "codec",
      z.codec(z.string(), z.date(), {
        decode: (text) => new Date(text),
        encode: (date) => date.toISOString(),
      }),
    ],
    ["bytes", z.instanceof(Uint8Array)],
    ["custom", z.custom<string>()],
    ["undefined", z.undefined()],
    ["void", z.void()],
    ["nan", z.nan()],
    ["symbol", z.symbol()],
    ["never", z.never()],
    ["unknown", z.unknown()],
    ["bigint literal", z.literal([1n])],
    ["undefined literal", z.literal([undefined])],
    ["recursive", Tree],
    ["lazy", z.lazy(() => z.string())],
    ["promise", z.promise(z.string())],
    ["catch", z.string().catch("x")],
    [
      "catch that throws",
      z.string().catch(() => {
        throw new Error("no");
      }),
    ],
    [
      "lazy that throws",
      z.lazy((): z.ZodType => {
        throw new Error("no");
      }),
    ],
    ["two schemas of one id", z.object({ a: twice, b: z.number().meta({ id: "twice" }) })],
    ["record", z.record(z.string(), z.date())],
    ["template literal", z.templateLiteral(["a", z.number()])],
    ["function", z.any()],
    ["file", z.file()],
  ])("does not throw for %s", (_, schema) => {
    const contract = agent("a", {
      capabilities: { run: { input: schema, output: z.object({ nested: schema }) } },
    });
    const description = describeAgent(contract);
    expect(JSON.parse(JSON.stringify(description.capabilities["run"]?.input))).toBeTypeOf("object");
    expect(JSON.parse(JSON.stringify(description.capabilities["run"]?.output))).toBeTypeOf(
      "object",
    );
  });
});
