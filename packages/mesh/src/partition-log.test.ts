import { createSubjects } from "@plexus/core";
import { startBroker, startCluster, startProxy } from "@plexus/testing";
import { expect, test } from "vitest";
import { inTurn, meshName, silent, upTo } from "../../../test/support/mesh.ts";
import { readCommand } from "./entity-record.ts";
import { EntityServices } from "./entity-services.ts";
import { EntityStore } from "./nats/entity-store.ts";
import { JetStream } from "./nats/jetstream.ts";
import { Link } from "./nats/link.ts";
import { PartitionLog } from "./partition-log.ts";
import type { Runtime } from "./runtime.ts";

/** A connection of one's own, with as much of a mesh around it as a log needs. */
async function join(servers: readonly string[], mesh: string) {
  const waiting = new Set<() => void>();
  let js: JetStream | undefined;
  const link = await Link.open(
    { servers, name: "test", timeoutMs: 5_000 },
    {
      lost: () => js?.connectionLost(),
      restored: () => {
        const resuming = [...waiting];
        waiting.clear();
        for (const resume of resuming) resume();
      },
      error: () => undefined,
    },
  );
  const whenConnected = (resume: () => void): (() => void) => {
    waiting.add(resume);
    return () => waiting.delete(resume);
  };
  const subjects = createSubjects(mesh);
  const runtime = { link, subjects, log: silent, whenConnected } as Partial<Runtime> as Runtime;
  js = new JetStream(link, `_INBOX.${mesh}.${Math.random()}`);
  const store = new EntityStore(link, subjects);
  const services = new EntityServices(runtime, js, store);
  await services.surely(() => store.open());
  const log = (epoch: number): PartitionLog =>
    new PartitionLog(services, {
      entity: "e",
      partition: 0,
      epoch,
      instance: "i",
      owned: () => true,
    });
  return { link, js, store, log, [Symbol.asyncDispose]: () => link.close() };
}

const command = (id: string, output: unknown = null) => ({
  id,
  key: "k",
  command: "c",
  events: [],
  outcome: { output },
});

test("a write that arrives after its writer has given it up for lost, and repeated it, is refused", async () => {
  await using broker = await startBroker();
  await using one = await startProxy({ target: broker.url });
  await using two = await startProxy({ target: broker.url });
  await using site = await join([one.url, two.url], meshName());
  const log = site.log(1);
  await log.open();
  const slow = one.connections.open > 0 ? one : two;
  await log.append("k", command("first"), undefined);
  slow.delay(1_500);
  const appended = log.append("k", command("second"), undefined);
  setTimeout(() => void site.link.connection.reconnect(), 100); // over the other proxy
  const sequence = await appended;
  const records = () => site.js.batch(site.store.journal, log.subject("k"), 0, 10);
  expect((await records()).at(-1)?.sequence).toBe(sequence);
  await new Promise((resolve) => setTimeout(resolve, 2_000)); // until the first attempt is there, too
  const ids = (await records()).map(({ data }) => readCommand(data).id);
  expect(ids).toEqual(["first", "second"]);
}, 90_000);

test("the last record of a key is told as it is, however far the replica that is asked is behind", async () => {
  await using cluster = await startCluster();
  const mesh = meshName();
  await using ahead = await join(cluster.urls, mesh);
  const info = await ahead.js.api(`STREAM.INFO.${ahead.store.journal}`, {});
  const { leader } = info["cluster"] as { leader: string };
  const follower = cluster.brokers.find((_, n) => leader !== `plexus-${n + 1}`)!;
  await using direct = await join([cluster.brokers[Number(leader.at(-1)) - 1]!.url], mesh);
  await using behind = await join([follower.url], mesh);
  await inTurn(upTo(3), async (round) => {
    const first = direct.log(2 * round + 1);
    await first.open();
    await follower.pause();
    const padding = "x".repeat(20_000);
    let sequence = 0;
    await inTurn(upTo(1_500), async (n) => {
      sequence = await first.append("k", command(`${round}/${n}`, padding), undefined);
    });
    follower.resume();
    const second = behind.log(2 * round + 2);
    await second.open();
    expect((await second.last("k"))?.sequence).toBe(sequence);
  });
}, 120_000);
