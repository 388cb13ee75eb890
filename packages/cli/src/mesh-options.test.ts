import { expect, test } from "vitest";
import { UsageError } from "./exit-codes.ts";
import { serverOptions } from "./mesh-options.ts";

test("the broker of this machine is the default", () => {
  expect(serverOptions()).toEqual({ servers: ["nats://127.0.0.1:4222"] });
});

test("what is no server address is a mistake in the command line", () => {
  expect(() => serverOptions("nats://host:port")).toThrow(UsageError);
});
