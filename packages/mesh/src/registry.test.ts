import { agent } from "@plexus/core";
import { startProxy } from "@plexus/testing";
import { jetstreamManager } from "@nats-io/jetstream";
import { expect, test } from "vitest";
import { z } from "zod";
import { useMeshes } from "../../../test/support/mesh.ts";
import type { Mesh } from "./mesh.ts";

const meshes = useMeshes();

const Any = { input: z.unknown(), output: z.unknown() };
const Echo = agent("echo", { version: "2.0.1", capabilities: { echo: Any, other: Any } });
const handlers = { echo: (input: unknown) => input, other: () => 0 };

/** The changes that a mesh sees from now on. */
function changes(mesh: Mesh): string[] {
  const seen: string[] = [];
  mesh.watch(({ type, instance }) => seen.push(`${type} ${instance.instance}`));
  return seen;
}

test("an instance that joins or leaves is seen by everybody at once", async () => {
  const [host, one, two] = [await meshes.join(), await meshes.join(), await meshes.join()];
  const seen = [changes(host), changes(one), changes(two)];
  const started = performance.now();
  const hosted = await host.host(Echo, handlers, { weight: 3, concurrency: 9 });
  const { instance } = hosted.info;
  await expect.poll(() => seen, { interval: 5 }).toEqual(seen.map(() => [`joined ${instance}`]));
  expect(one.agents()).toEqual([hosted.info]);
  expect(one.agents(Echo)).toMatchObject([
    {
      agent: "echo",
      version: "2.0.1",
      capabilities: ["echo", "other"],
      weight: 3,
      concurrency: 9,
      pid: process.pid,
    },
  ]);
  await hosted.drain();
  const both = [`joined ${instance}`, `left ${instance}`];
  await expect.poll(() => seen, { interval: 5 }).toEqual(seen.map(() => both));
  expect(performance.now() - started).toBeLessThan(3_000); // the record would live for ten seconds
});

test("a newcomer knows all instances as soon as it is connected", async () => {
  const host = await meshes.join();
  await Promise.all(Array.from({ length: 20 }, () => host.host(Echo, handlers)));
  const newcomer = await meshes.join();
  expect(newcomer.agents(Echo)).toHaveLength(20);
  expect(newcomer.agents("nobody")).toEqual([]);
});

test("a thousand instances are discovered by a newcomer within two seconds", async () => {
  const hosts = await Promise.all([1, 2, 3, 4].map(() => meshes.join()));
  await Promise.all(
    hosts.flatMap((host) => Array.from({ length: 250 }, () => host.host(Echo, handlers))),
  );
  const started = performance.now();
  const newcomer = await meshes.join();
  await newcomer.waitFor(Echo, { instances: 1_000 });
  expect(performance.now() - started).toBeLessThan(2_000);
  expect(await newcomer.get(Echo).echo("found")).toBe("found");
});

test("records are renewed, so that instances outlive their time to live", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  const hosted = await host.host(Echo, handlers);
  await caller.waitFor(Echo);
  const seen = changes(caller);
  const nats = await meshes.nats();
  const manager = await jetstreamManager(nats);
  const revision = async () => {
    const subject = `$KV.${meshes.name}-registry.echo.${hosted.info.instance}`;
    return (await manager.streams.getMessage(`KV_${meshes.name}-registry`, {
      last_by_subj: subject,
    }))!.seq;
  };
  const first = await revision();
  await expect.poll(revision, { timeout: 10_000, interval: 100 }).toBeGreaterThan(first);
  expect(seen).toEqual([]);
  expect(caller.agents(Echo)).toHaveLength(1);
});

test("an instance that has left is not brought back by a renewal on its way", async () => {
  await using proxy = await startProxy({ target: meshes.broker.url });
  const host = await meshes.join({ servers: proxy.url });
  const hosted = await host.host(Echo, handlers);
  const caller = await meshes.join();
  const seen = changes(caller);
  proxy.delay(20, 40);
  await new Promise((resolve) => setTimeout(resolve, 3_200)); // the renewal is due about now
  await hosted.drain();
  await expect.poll(() => seen.at(-1)).toBe(`left ${hosted.info.instance}`);
  await host.close();
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(seen).toEqual([`left ${hosted.info.instance}`]);
  expect((await meshes.join()).agents()).toEqual([]);
});

test("an instance whose record another process deletes enters it again", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  const hosted = await host.host(Echo, handlers);
  await caller.waitFor(Echo);
  const seen = changes(caller);
  const nats = await meshes.nats();
  const manager = await jetstreamManager(nats);
  await manager.streams.purge(`KV_${meshes.name}-registry`, {
    filter: `$KV.${meshes.name}-registry.echo.${hosted.info.instance}`,
  });
  await expect
    .poll(async () => (await meshes.join()).agents(), { timeout: 8_000, interval: 250 })
    .toHaveLength(1);
  expect(await caller.get(Echo).echo(1)).toBe(1);
  expect(seen.filter((change) => change.startsWith("left"))).toEqual([]);
});

test("a registry that vanishes is made again, with everyone in it", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  await host.host(Echo, handlers);
  const manager = await jetstreamManager(await meshes.nats());
  await manager.streams.delete(`KV_${meshes.name}-registry`);
  await expect
    .poll(async () => (await meshes.join()).agents().length, { timeout: 10_000, interval: 250 })
    .toBe(1);
  expect(await caller.get(Echo).echo(1)).toBe(1);
  await (await meshes.join({ name: "later" })).host(Echo, handlers);
  await caller.waitFor(Echo, { instances: 2, timeout: "15s" }); // its watch was on the old one
});

test("records that make no sense are ignored", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  const { info } = await host.host(Echo, handlers);
  const nats = await meshes.nats();
  const bucket = `$KV.${meshes.name}-registry`;
  const record = (change: object) => JSON.stringify({ ...info, instance: "x", ...change });
  const bad: [key: string, value: string][] = [
    ["echo.x", "not json"],
    ["echo.x", "null"],
    ["echo.x", record({ weight: -1 })],
    ["echo.x", record({ capabilities: "echo" })],
    ["echo.x", record({ capabilities: [1] })],
    ["echo.x", record({ instance: "another" })],
    ["echo.x", record({ agent: "other" })],
    ["echo.x.y", record({ instance: "x.y" })],
    ["echo.x", record({ instance: "x\r\nPUB y 0\r\n" })],
  ];
  for (const [key, value] of bad) {
    // One after the other, as the last one counts.
    await nats.request(`${bucket}.${key}`, value);
  }
  await nats.request(`${bucket}.echo.good`, record({ instance: "good" }));
  await expect.poll(() => caller.agents(Echo).length).toBe(2);
  expect(caller.agents().map(({ instance }) => instance)).toEqual(
    expect.arrayContaining([info.instance, "good"]),
  );
});

test("a changed record is told as a change", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  const { info } = await host.host(Echo, handlers);
  await caller.waitFor(Echo);
  const seen = changes(caller);
  const nats = await meshes.nats();
  const subject = `$KV.${meshes.name}-registry.echo.x`;
  await nats.request(subject, JSON.stringify({ ...info, instance: "x" }));
  await nats.request(subject, JSON.stringify({ ...info, instance: "x" }));
  await nats.request(subject, JSON.stringify({ ...info, instance: "x", weight: 5 }));
  await expect.poll(() => seen).toEqual(["joined x", "changed x"]);
  expect(caller.agents().find(({ instance }) => instance === "x")?.weight).toBe(5);
});
