import { expect, test } from "vitest";
import { parseServers } from "./servers.ts";

test("several servers, with or without scheme and port", () => {
  expect(parseServers("nats://a:1, b")).toEqual({ servers: ["nats://a:1", "nats://b"] });
  expect(parseServers(["a", "tls://[::1]:4222"]).servers).toEqual(["nats://a", "tls://[::1]:4222"]);
});

test("credentials are taken out of the URLs", () => {
  expect(parseServers("nats://me:p%40ss@host:4222,other")).toEqual({
    servers: ["nats://host:4222", "nats://other"],
    user: "me",
    password: "p@ss",
  });
  expect(parseServers("nats://s3cr3t@host")).toEqual({ servers: ["nats://host"], token: "s3cr3t" });
});

test.each(["", "nats://", "a b", "nats://host:port", "nats://%@host", "nats://me:secret@a b"])(
  '"%s" is no server address, and is not repeated with its secrets',
  (text) => {
    expect(() => parseServers(text)).toThrow(
      expect.objectContaining({ code: "INVALID_INPUT" }) as Error,
    );
    expect(() => parseServers(text)).toThrow(/^(?!.*secret)/);
  },
);
