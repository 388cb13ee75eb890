import { expect, test } from "vitest";
import { Ahead } from "./ahead.ts";

function setUp(limit: number) {
  const errors: unknown[] = [];
  const done: string[] = [];
  const ahead = new Ahead(limit, (error) => errors.push(error));
  const note = (name: string): undefined => void done.push(name);
  return { ahead, note, done, errors };
}

test("what is there already goes on at once", () => {
  const { ahead, note, done } = setUp(1);
  expect(ahead.add("a", note)).toBeUndefined();
  expect(done).toEqual(["a"]);
});

test("several items are done at once, each goes on when it is done, and the limit asks to wait for any of them", async () => {
  const { ahead, note, done } = setUp(2);
  const [a, b] = [Promise.withResolvers<string>(), Promise.withResolvers<string>()];
  expect(ahead.add(a.promise, note)).toBeUndefined();
  const room = ahead.add(b.promise, note);
  expect(room).toBeInstanceOf(Promise);
  b.resolve("b");
  await room;
  expect(done).toEqual(["b"]);
  a.resolve("a");
  await ahead.idle();
  expect(done).toEqual(["b", "a"]);
});

test("a failure is told and holds nobody up", async () => {
  const { ahead, note, done, errors } = setUp(1);
  await ahead.add(Promise.reject(new Error("no")), note);
  await ahead.add(Promise.resolve("a"), () => {
    throw new Error("neither");
  });
  await ahead.add(Promise.resolve("b"), note);
  expect(errors).toEqual([new Error("no"), new Error("neither")]);
  expect(done).toEqual(["b"]);
});
