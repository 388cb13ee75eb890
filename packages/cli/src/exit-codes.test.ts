import { ERROR_CODES, MeshError, type ErrorCode } from "@plexus/core";
import { expect, test } from "vitest";
import { EXIT, Interrupted, UsageError, exitCodeOf } from "./exit-codes.ts";

test("every error code has an exit code that says failure", () => {
  for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
    expect(Object.values(EXIT)).toContain(exitCodeOf(new MeshError(code, "")));
    expect(exitCodeOf(new MeshError(code, ""))).not.toBe(EXIT.ok);
  }
});

test("what is thrown elsewhere has one as well", () => {
  expect(exitCodeOf(new UsageError(""))).toBe(2);
  expect(exitCodeOf(new Interrupted(""))).toBe(130);
  expect(exitCodeOf(new TypeError("bug"))).toBe(1);
});
