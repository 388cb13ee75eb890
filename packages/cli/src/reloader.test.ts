import { expect, test } from "vitest";
import { Reloader } from "./reloader.ts";

/** Restarts that end when the test says so. */
function steps() {
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  const reloader = new Reloader((name) => {
    begun.push(name);
    return new Promise((resolve) => ends.push(resolve));
  });
  const finish = async (): Promise<void> => {
    ends.shift()!();
    await new Promise(setImmediate);
  };
  return { reloader, begun, finish };
}

test("replicas are restarted one after the other", async () => {
  const { reloader, begun, finish } = steps();
  reloader.reload("greeter", ["greeter-1", "greeter-2"]);
  expect(begun).toEqual(["greeter-1"]);
  await finish();
  expect(begun).toEqual(["greeter-1", "greeter-2"]);
});

test("changes meanwhile lead to one more round", async () => {
  const { reloader, begun, finish } = steps();
  reloader.reload("greeter", ["greeter"]);
  reloader.reload("greeter", ["greeter"]);
  reloader.reload("greeter", ["greeter"]);
  await finish();
  expect(begun).toEqual(["greeter", "greeter"]);
  await finish();
  expect(begun).toHaveLength(2);
});

test("groups do not wait for each other", () => {
  const { reloader, begun } = steps();
  reloader.reload("a", ["a"]);
  reloader.reload("b", ["b"]);
  expect(begun).toEqual(["a", "b"]);
});
