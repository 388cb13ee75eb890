import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { startCluster } from "@plexus/testing";
import { expect, test } from "vitest";
import { JetStream } from "./jetstream.ts";
import { Link } from "./link.ts";

const ignore = (): void => undefined;

test("a second answer, of a leader that hung and has not heard of the next one, confirms nothing else", async () => {
  await using cluster = await startCluster();
  await using stack = new AsyncDisposableStack();
  const servers = [...cluster.urls];
  const other = await connect({ servers });
  stack.defer(() => other.close());
  const { streams } = await jetstreamManager(other, { timeout: 20_000 });
  await streams.add({ name: "kept", subjects: ["kept.*"], num_replicas: 1 });
  const replies: string[] = [];
  const overhear = (subject: string): void => {
    other.subscribe(subject, {
      callback: (_error, { reply }) => {
        if (reply !== undefined) replies.push(reply);
      },
    });
  };
  overhear("kept.*");
  overhear("nobody.keeps");
  await other.flush();

  const link = await Link.open(
    { servers, name: "test", timeoutMs: 5_000 },
    { lost: ignore, restored: ignore, error: ignore },
  );
  stack.defer(() => link.close());
  const js = new JetStream(link, "_INBOX.test", undefined, 2_000);
  const sequence = await js.publish("kept.a", Buffer.from("a"));
  await expect.poll(() => replies).toHaveLength(1);
  const unconfirmed = js.publish("nobody.keeps", Buffer.from("b"));
  await expect.poll(() => replies).toHaveLength(2);
  other.publish(replies[0]!, JSON.stringify({ stream: "kept", seq: sequence }));
  await expect(unconfirmed).rejects.toMatchObject({ code: "TIMEOUT" });
});
