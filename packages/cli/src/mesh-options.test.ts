import { expect, test } from "vitest";
import { UsageError } from "./exit-codes.ts";
import { serverOptions } from "./mesh-options.ts";

test("several servers, with or without scheme and port", () => {
  expect(serverOptions("nats://a:1, b")).toEqual({ servers: ["nats://a:1", "nats://b"] });
  expect(serverOptions()).toEqual({ servers: ["nats://127.0.0.1:4222"] });
  expect(serverOptions("nats://[::1]:4222").servers).toEqual(["nats://[::1]:4222"]);
});

test("credentials are taken out of the URL", () => {
  expect(serverOptions("nats://me:p%40ss@host:4222")).toEqual({
    servers: ["nats://host:4222"],
    user: "me",
    password: "p@ss",
  });
  expect(serverOptions("nats://s3cr3t@host")).toEqual({
    servers: ["nats://host"],
    token: "s3cr3t",
  });
});

test.each(["", "nats://", "a b", "nats://host:port"])('"%s" is no server address', (text) => {
  expect(() => serverOptions(text)).toThrow(UsageError);
});
