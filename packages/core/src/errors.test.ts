import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, expectTypeOf, test } from "vitest";
import { decodePayload, encodePayload } from "./codec.ts";
import {
  ERROR_CODES,
  MeshError,
  fromWireError,
  isMeshError,
  toMeshError,
  type ErrorCode,
} from "./errors.ts";

const CODES = Object.keys(ERROR_CODES) as ErrorCode[];

function overTheWire(error: MeshError): MeshError {
  return fromWireError(decodePayload(Uint8Array.from(encodePayload(error.toJSON()))));
}

describe("the codes", () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const rows = new Map(
    [...readme.matchAll(/^\| `([A-Z_]+)`\s*\| (yes|no)\s*\| (.+?)\s*\|$/gm)].map((row) => [
      row[1],
      row,
    ]),
  );

  test.each(CODES)("%s is documented, in the source and in the README's table", (code) => {
    const { meaning, retryable } = ERROR_CODES[code];
    expect(meaning).toMatch(/^[A-Z].{15,}\.$/);
    expect(rows.get(code)?.[2]).toBe(retryable ? "yes" : "no");
    expect(rows.get(code)?.[3]).toBe(meaning);
  });

  test("the README documents no code that does not exist", () => {
    expect(new Set(rows.keys())).toStrictEqual(new Set(CODES));
  });

  test("are a union of literals", () => {
    expectTypeOf<"TIMEOUT">().toExtend<ErrorCode>();
    expectTypeOf<"OOPS">().not.toExtend<ErrorCode>();
    expectTypeOf(new MeshError("TIMEOUT", "").code).toEqualTypeOf<ErrorCode>();
  });
});

describe("MeshError", () => {
  test.each(CODES)("%s survives the wire with its message, retryability and details", (code) => {
    const details = { path: "a", ids: [1n], at: new Date(5) };
    for (const retryable of [true, false]) {
      const sent = new MeshError(code, `What happened: ${code}.`, { retryable, details });
      const arrived = overTheWire(sent);
      expect(arrived).toBeInstanceOf(MeshError);
      expect(arrived).toMatchObject({ name: "MeshError", code, retryable, message: sent.message });
      expect(arrived.details).toStrictEqual(details);
    }
  });

  test.each(CODES)("%s is retryable by default exactly if its code says so", (code) => {
    expect(new MeshError(code, "").retryable).toBe(ERROR_CODES[code].retryable);
    expect(new MeshError(code, "", { retryable: !ERROR_CODES[code].retryable }).retryable).toBe(
      !ERROR_CODES[code].retryable,
    );
  });

  test("has a cause only when given one, which stays at home", () => {
    const cause = new Error("inner");
    const error = new MeshError("AGENT_FAILED", "outer", { cause });
    expect(error.cause).toBe(cause);
    expect(error.toJSON()).toStrictEqual({
      code: "AGENT_FAILED",
      message: "outer",
      retryable: false,
    });
    expect(Object.hasOwn(new MeshError("TIMEOUT", ""), "cause")).toBe(false);
  });

  test("isMeshError tells it from others and codes apart", () => {
    expect(isMeshError(new MeshError("TIMEOUT", ""))).toBe(true);
    expect(isMeshError(new MeshError("TIMEOUT", ""), "TIMEOUT")).toBe(true);
    expect(isMeshError(new MeshError("TIMEOUT", ""), "CANCELED")).toBe(false);
    expect(
      [new Error("x"), { code: "TIMEOUT" }, null, undefined].some((other) => isMeshError(other)),
    ).toBe(false);
  });

  test("a message of megabytes is cut for the wire", () => {
    const error = new MeshError("AGENT_FAILED", "x".repeat(5_000_000));
    expect(error.toJSON().message).toBe(`${"x".repeat(8_192)}…`);
    expect(encodePayload(error.toJSON()).length).toBeLessThan(9_000);
  });
});

describe("toMeshError", () => {
  test("leaves a MeshError as it is", () => {
    const error = new MeshError("CONFLICT", "mine");
    expect(toMeshError(error)).toBe(error);
  });

  test("makes a handler's own error AGENT_FAILED, with name, message and cause", () => {
    const cause = new RangeError("no such column");
    expect(toMeshError(cause)).toMatchObject({
      code: "AGENT_FAILED",
      message: "RangeError: no such column",
      cause,
      retryable: false,
    });
  });

  const throwing = new Error("x");
  Object.defineProperty(throwing, "message", {
    get: () => {
      throw new Error("again");
    },
  });
  const symbolic = Object.assign(new Error("x"), { message: Symbol("no text") });
  const cruel = new Proxy(
    {},
    {
      get: () => {
        throw new Error("no");
      },
      ownKeys: () => {
        throw new Error("no");
      },
    },
  );

  test.each<[string, unknown]>([
    ["undefined", undefined],
    ["null", null],
    ["a text", "boom"],
    ["a symbol", Symbol("boom")],
    ["a function", () => 1],
    ["an object without a prototype", Object.create(null)],
    [
      "an object whose toString throws",
      {
        toString: () => {
          throw new Error("no");
        },
      },
    ],
    ["an error whose message throws", throwing],
    ["an error whose message is no text", symbolic],
    ["a proxy that refuses everything", cruel],
  ])("takes %s, whatever was thrown", (_, thrown) => {
    const error = toMeshError(thrown);
    expect(error.code).toBe("AGENT_FAILED");
    expect(error.message).toBeTypeOf("string");
    expect(overTheWire(error).code).toBe("AGENT_FAILED");
  });
});

describe("fromWireError", () => {
  test("a code of a newer peer becomes AGENT_FAILED that names it and keeps its retryability", () => {
    const error = fromWireError({ code: "QUOTA_GONE", message: "all used up", retryable: true });
    expect(error).toMatchObject({
      code: "AGENT_FAILED",
      message: "QUOTA_GONE: all used up",
      retryable: true,
    });
  });

  test.each(["constructor", "__proto__", "toString", "hasOwnProperty"])("%s is no code", (code) => {
    expect(fromWireError({ code, message: "m", retryable: false }).code).toBe("AGENT_FAILED");
  });

  test.each<[unknown]>([[undefined], [null], [5], ["TIMEOUT"], [true]])(
    "%j is BAD_MESSAGE",
    (wire) => {
      expect(fromWireError(wire).code).toBe("BAD_MESSAGE");
    },
  );

  test("whatever arrives, it is an error with a text of bounded length", () => {
    const part = fc.oneof(
      fc.anything({ withBigInt: true, withMap: true, withNullPrototype: true }),
      fc.constantFrom(...CODES),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.record(
            { code: part, message: part, retryable: part, details: part },
            { requiredKeys: [] },
          ),
          fc.anything(),
        ),
        (wire) => {
          const error = fromWireError(wire);
          expect(CODES).toContain(error.code);
          expect(error.message).toBeTypeOf("string");
          expect(error.retryable).toBeTypeOf("boolean");
        },
      ),
      { numRuns: 2_000 },
    );
    const huge = fromWireError({ code: "X".repeat(1e6), message: "y".repeat(1e6) });
    expect(huge.message.length).toBeLessThan(9_000);
    expect(fromWireError({ code: { toString: 1 }, message: { length: 5 } })).toMatchObject({
      code: "AGENT_FAILED",
      message: "no code: no message",
    });
  });
});
