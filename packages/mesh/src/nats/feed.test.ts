import { AckPolicy, jetstreamManager, RetentionPolicy } from "@nats-io/jetstream";
import { startProxy } from "@plexus/testing";
import { expect, test } from "vitest";
import { useMeshes } from "../../../../test/support/mesh.ts";
import { Feed } from "./feed.ts";
import { Link } from "./link.ts";

const meshes = useMeshes();
const nothing = (): void => undefined;
const deaf = { lost: nothing, restored: nothing, error: nothing };

test("a message that comes after its request was given up says that there may be more", async () => {
  const stream = `${meshes.name}-work`;
  const nats = await meshes.nats();
  const manager = await jetstreamManager(nats);
  const retention = RetentionPolicy.Workqueue;
  await manager.streams.add({ name: stream, subjects: [`${meshes.name}.work`], retention });
  await manager.consumers.add(stream, { durable_name: "c", ack_policy: AckPolicy.Explicit });
  await using proxy = await startProxy({ target: meshes.broker.url });
  const link = await Link.open({ servers: [proxy.url], name: "feed", timeoutMs: 5_000 }, deaf);
  let [taken, answered] = [0, 0];
  const on = { take: () => (taken += 1), answered: () => (answered += 1), lost: nothing };
  const source = { stream, consumer: "c", weight: 1 };
  const feed = new Feed(link, "_INBOX.feed", source, 500, on);
  await link.settle();
  nats.publish(`${meshes.name}.work`, "one");
  await nats.flush();

  proxy.hold("toClient");
  feed.ask(1);
  await expect.poll(() => answered).toBe(1); // it has given up
  expect(feed).toMatchObject({ asked: 0, hungry: false });
  await proxy.heal();
  await expect.poll(() => taken).toBe(1);

  expect(feed).toMatchObject({ asked: 0, hungry: true });
  await link.close();
});
