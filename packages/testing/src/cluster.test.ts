import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { expect, test } from "vitest";
import { startCluster } from "./cluster.ts";

test(
  "a cluster forms, replicates, and survives the kill of its leader",
  { timeout: 60_000 },
  async () => {
    await using cluster = await startCluster();
    expect(cluster.brokers).toHaveLength(3);
    expect(cluster.url).toBe(cluster.urls.join(","));

    const connection = await connect({ servers: [...cluster.urls], reconnectTimeWait: 20 });
    // A first vote may fail; the next takes place after 4 to 9 s.
    const patient = await jetstreamManager(connection, { timeout: 20_000 });
    // What is asked while there is no leader is never answered, so questions are repeated.
    const manager = await jetstreamManager(connection, { timeout: 500 });
    await patient.streams.add({ name: "S", subjects: ["s.>"], num_replicas: 3 });
    // The server that this client is connected to may hear of the stream only after its creation was confirmed.
    const publish = () => jetstream(connection).publish("s.a", "x");
    await expect.poll(publish, { timeout: 5_000 }).toMatchObject({ seq: 1 });
    for (let i = 2; i <= 10; i += 1) {
      await publish();
    }

    const leader = await cluster.ready();
    await leader.kill();
    const successor = await cluster.ready(); // an election takes 4 to 9 s
    expect(successor).not.toBe(leader);
    const stored = async () => (await manager.streams.info("S")).state.messages;
    await expect.poll(stored, { timeout: 20_000 }).toBe(10);

    await leader.restart();
    await cluster.ready();
    const current = async () => {
      const replicas = (await manager.streams.info("S")).cluster?.replicas ?? [];
      return replicas.filter((replica) => replica.current).length;
    };
    await expect.poll(current, { timeout: 20_000 }).toBe(2);
    await connection.close();
  },
);

test("a cluster without a majority is not ready, and says what is missing", async () => {
  await using cluster = await startCluster({ name: "desk" });
  const leader = await cluster.ready();
  const other = cluster.brokers.find((broker) => broker !== leader);
  await Promise.all([leader.kill(), other!.kill()]);
  await expect(cluster.ready(300)).rejects.toThrow(/desk-\d knows no JetStream leader that is up/);
});

test(
  "a server that is isolated is no part of the cluster, until it is healed",
  { timeout: 120_000 },
  async () => {
    await using cluster = await startCluster({ isolatable: true });
    const leader = await cluster.ready();
    const other = cluster.brokers.findIndex((broker) => broker !== leader);
    const connection = await connect({ servers: leader.url });
    const manager = await jetstreamManager(connection);
    await manager.streams.add({ name: "s", subjects: ["s"], num_replicas: 3 });
    await cluster.isolate(other, "cut");
    await expect(cluster.ready(1_000)).rejects.toThrow("has no route to");
    await connection.close();
    await cluster.heal();
    await cluster.ready(60_000);
    await cluster.isolate(other, "hold");
    const cutOff = await connect({ servers: cluster.brokers[other]!.url });
    await expect(jetstream(cutOff).publish("s", "", { timeout: 2_000 })).rejects.toThrow(
      /timeout/i,
    );
    await cluster.heal();
    await cluster.ready(60_000);
    await expect
      .poll(() => jetstream(cutOff).publish("s", "", { timeout: 2_000 }), { timeout: 30_000 })
      .toMatchObject({ stream: "s" });
    await cutOff.close();
  },
);
