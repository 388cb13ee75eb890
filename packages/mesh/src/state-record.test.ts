import { expect, test } from "vitest";
import {
  carriedOver,
  decodeState,
  encodeState,
  fateOf,
  type StateRecord,
  type StoredState,
} from "./state-record.ts";

/** What stands there after these clients have written, one on top of the other; revisions begin at 1. */
function after(...writers: string[]): StoredState {
  let stored: StoredState | undefined;
  const ops = new Map<string, number>();
  for (const [n, by] of writers.entries()) {
    const op = (ops.get(by) ?? 0) + 1;
    ops.set(by, op);
    const record: StateRecord = {
      key: "k",
      value: n,
      by,
      op,
      fence: 0,
      ttlMs: 0,
      past: carriedOver(stored, by),
    };
    stored = { record: decodeState(encodeState(record)), revision: n + 1, storedAt: 0 };
  }
  return stored!;
}

test("a writer finds its last write, and its revision, however often others have written since", () => {
  const written = after("a", "b", ...Array<string>(1_000).fill("c"));
  expect(fateOf(written, "a", 1)).toBe(1);
  expect(fateOf(written, "b", 1)).toBe(2);
  expect(fateOf(written, "c", 1_000)).toBe(1_002);
});

test("a write that others came before is not there", () => {
  expect(fateOf(after("b", "c"), "a", 1)).toBe(false);
  expect(fateOf(after("a", "b"), "a", 2)).toBe(false);
  expect(fateOf(after("b", "a"), "a", 2)).toBe(false);
});

test("when too many others have written, nobody can tell", () => {
  const others = Array.from({ length: 33 }, (_, n) => `o${n}`);
  expect(fateOf(after("a", ...others.slice(1)), "a", 1)).toBe(1);
  expect(fateOf(after("a", ...others), "a", 1)).toBe("unknown");
});

test("what is no record is refused", () => {
  expect(() => decodeState(Buffer.from("nonsense"))).toThrow(/payload/i);
  expect(() => decodeState(Buffer.from([0x92, 0x07, 0x01]))).toThrow("no record of a shared state");
});
