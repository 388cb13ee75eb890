import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { startBroker } from "@plexus/testing";
import { expect, test } from "vitest";
import { JetStream } from "./nats/jetstream.ts";
import { Link } from "./nats/link.ts";
import type { Runtime } from "./runtime.ts";
import { surely } from "./surely.ts";

const ignore = (): void => undefined;

test("a write goes on as soon as its stream takes it, though the broker does not say what there is", async () => {
  await using broker = await startBroker();
  await using stack = new AsyncDisposableStack();
  const other = await connect({ servers: broker.url });
  stack.defer(() => other.close());
  const link = await Link.open(
    { servers: [broker.url], name: "test", timeoutMs: 5_000 },
    { lost: ignore, restored: ignore, error: ignore },
  );
  stack.defer(() => link.close());
  const js = new JetStream(link, "_INBOX.test");
  const runtime = { link, whenConnected: () => ignore } as Partial<Runtime> as Runtime;
  const { streams } = await jetstreamManager(other);
  const silent = Promise.withResolvers<void>(); // never settled
  const stored = surely(runtime, () => js.publish("kept", Buffer.from("a")), {
    closed: () => false,
    reopen: async () => {
      await streams.add({ name: "kept", subjects: ["kept"] });
      await silent.promise;
    },
  });
  expect(await stored).toBe(1);
});
