import { startBroker } from "@plexus/testing";
import { expect, test } from "vitest";
import { plexus } from "../support/cli.ts";

test("the demo hands the credentials in --server on to its processes, and shows them to nobody", async () => {
  const authorization = { user: "ops", password: "se cret" };
  await using broker = await startBroker({ config: { authorization } });
  const server = `nats://ops:se%20cret@127.0.0.1:${broker.port}`;
  const load = ["--rate", "200", "--symbols", "2", "--seconds", "1"];
  const { code, stdout, stderr } = await plexus(["demo", ...load, "--server", server]);
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toContain(`at ${broker.url}`);
  expect(stdout).not.toMatch(/se.{1,3}cret/);
}, 60_000);
