import { agent } from "@plexus/core";
import { errors } from "@nats-io/transport-node";
import { Svcm, type ServiceIdentity } from "@nats-io/services";
import { expect, test } from "vitest";
import { z } from "zod";
import { useMeshes } from "../../../test/support/mesh.ts";

const meshes = useMeshes();

const Any = { input: z.unknown(), output: z.unknown() };
const Echo = agent("echo", {
  description: "Says it again",
  version: "1.2.3",
  capabilities: { echo: { ...Any, description: "once", idempotent: true }, fail: Any },
});
const Other = agent("other", { capabilities: { run: Any } });

const handlers = {
  echo: (input: unknown) => input,
  fail: () => {
    throw new Error("no");
  },
};

/** Everything that answered; nothing when nobody is there. */
async function all<T>(found: Promise<AsyncIterable<T>>): Promise<T[]> {
  const list: T[] = [];
  try {
    for await (const item of await found) list.push(item);
  } catch (error) {
    if (!(error instanceof errors.NoRespondersError)) throw error;
  }
  return list;
}

/** A standard client of the NATS service protocol, and what it finds of this mesh. */
async function standardClient() {
  const nats = await meshes.nats();
  const client = new Svcm(nats).client({ maxWait: 500, strategy: "timer" as never });
  const mine = <T extends ServiceIdentity>(list: T[]) =>
    list
      .filter(({ name }) => name.startsWith(meshes.name))
      .toSorted((a, b) => (a.id < b.id ? -1 : 1));
  return {
    ping: async (name?: string, id?: string) => mine(await all(client.ping(name, id))),
    info: async (name?: string, id?: string) => mine(await all(client.info(name, id))),
    stats: async (name?: string, id?: string) => mine(await all(client.stats(name, id))),
  };
}

test("standard NATS tools find every agent, also two in one process", async () => {
  const [one, two] = [await meshes.join({ name: "a" }), await meshes.join({ name: "b" })];
  const hosted = [
    await one.host(Echo, handlers),
    await one.host(Other, { run: () => 0 }),
    await two.host(Echo, handlers),
  ];
  const client = await standardClient();
  const ids = hosted.map(({ info }) => info.instance).toSorted();
  expect((await client.ping()).map(({ id }) => id)).toEqual(ids);
  const echoes = await client.ping(`${meshes.name}-echo`);
  expect(echoes).toMatchObject([
    { name: `${meshes.name}-echo`, version: "1.2.3", metadata: { agent: "echo" } },
    { name: `${meshes.name}-echo` },
  ]);
  const { instance } = hosted[1]!.info;
  expect(await client.ping(`${meshes.name}-other`, instance)).toMatchObject([{ id: instance }]);
  expect(await client.ping(`${meshes.name}-other`, "nobody")).toEqual([]);
});

test("INFO tells the endpoints, on the subjects where they can be called", async () => {
  const mesh = await meshes.join();
  await mesh.host(Echo, handlers);
  const client = await standardClient();
  expect(await client.info(`${meshes.name}-echo`)).toMatchObject([
    {
      description: "Says it again",
      endpoints: [
        {
          name: "echo",
          subject: `${meshes.name}.rpc.echo.echo`,
          queue_group: "rpc",
          metadata: { description: "once", idempotent: "true" },
        },
        { name: "fail", subject: `${meshes.name}.rpc.echo.fail` },
      ],
    },
  ]);
});

test("STATS counts requests and errors and how long they took", async () => {
  const mesh = await meshes.join();
  await mesh.host(Echo, handlers);
  const echo = mesh.get(Echo);
  await Promise.all([echo.echo(1), echo.echo(2), echo.fail(0).catch(() => undefined)]);
  const client = await standardClient();
  const [stats] = await client.stats(`${meshes.name}-echo`);
  expect(stats!.endpoints).toMatchObject([
    { name: "echo", num_requests: 2, num_errors: 0 },
    { name: "fail", num_requests: 1, num_errors: 1 },
  ]);
  expect(stats!.endpoints![0]!.average_processing_time).toBeGreaterThan(0);
  expect(Date.parse(stats!.started)).toBeGreaterThan(Date.now() - 60_000);
});

test("an agent that drains is gone, and the others of its process stay", async () => {
  const mesh = await meshes.join();
  const hosted = await mesh.host(Echo, handlers);
  await mesh.host(Other, { run: () => 0 });
  const client = await standardClient();
  expect(await client.ping()).toHaveLength(2);
  await hosted.drain();
  expect(await client.ping()).toMatchObject([{ name: `${meshes.name}-other` }]);
  expect(await client.ping(`${meshes.name}-echo`)).toEqual([]);
});
