import { setTimeout } from "node:timers/promises";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect as connectNats } from "@nats-io/transport-node";
import { agent } from "@plexus/core";
import { startCluster, type Cluster } from "@plexus/testing";
import { expect, test } from "vitest";
import { z } from "zod";
import { inTurn, meshName, silent, upTo } from "../../../test/support/mesh.ts";
import { connect } from "./index.ts";

const Clerk = agent("clerk", {
  capabilities: { file: { input: z.number(), output: z.number(), durable: true } },
});

/** A member of a new mesh at each broker, each of which files. */
async function join(stack: AsyncDisposableStack, { urls }: Cluster) {
  const mesh = meshName();
  const members = await Promise.all(
    urls.map(async (servers) =>
      stack.use(await connect({ servers, mesh, http: false, log: silent })),
    ),
  );
  await inTurn(members, (member) => member.host(Clerk, { file: (n) => n }));
  await (await members[0]!.submit(Clerk, "file", 0)).result();
  const nats = await connectNats({ servers: [...urls] });
  stack.defer(() => nats.close());
  const { streams } = await jetstreamManager(nats, { timeout: 20_000 });
  const stream = (name: string) => streams.info(`${mesh}-${name}`);
  /** Index of the broker that leads a stream. */
  const leading = async (name: string): Promise<number> =>
    Number((await stream(name)).cluster?.leader?.at(-1)) - 1;
  return { members, stream, leading };
}

/** As {@link join}, in a mesh whose tasks and results are led by the same broker, so that it can answer for both. */
async function joinAtOneLeader(stack: AsyncDisposableStack, cluster: Cluster) {
  for (;;) {
    // Each new mesh has one chance in three.
    const joined = await join(stack, cluster);
    const parted = await joined.leading("tasks");
    if (parted === (await joined.leading("results"))) return { ...joined, parted };
  }
}

test("a task is accepted when most brokers have it, not when its leader refuses a second attempt for the first", async () => {
  await using cluster = await startCluster({ isolatable: true });
  await using stack = new AsyncDisposableStack();
  const { members, stream, leading, parted } = await joinAtOneLeader(stack, cluster);
  // For some ten seconds it believes that it leads, takes what its clients submit, and cannot have it confirmed.
  await cluster.isolate(parted);
  const refused = setTimeout(7_000); // the first attempt is given up after five
  const submitted = Promise.all(
    upTo(5).map((n) =>
      members[parted]!.submit(Clerk, "file", n, { key: String(n), timeout: "90s" }),
    ),
  );
  submitted.catch(() => undefined);
  await expect.poll(() => leading("tasks"), { timeout: 60_000 }).not.toBe(parted);
  await refused;
  await cluster.heal();
  const results = (await submitted).map((task) => task.result({ timeout: "60s" }));
  expect(await Promise.all(results)).toEqual(upTo(5));
  const stranger = members[0]!.task("01ARZ3NDEKTSV4RRFFQ69G5FAV");
  await expect(stranger.result()).rejects.toMatchObject({ code: "NO_TASK" });
  await expect(stranger.status()).rejects.toMatchObject({ code: "NO_TASK" });
  const queued = async () => (await stream("tasks")).state.messages;
  await expect.poll(queued, { timeout: 30_000 }).toBe(0);
}, 180_000);
