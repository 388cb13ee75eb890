import { agent, topic } from "@plexus/core";
import { expect, test } from "vitest";
import { z } from "zod";
import { inTurn, useMeshes } from "../../../test/support/mesh.ts";
import type { Mesh } from "./mesh.ts";
import type { TappedMessage } from "./tap.ts";

const meshes = useMeshes();

const Any = { input: z.unknown(), output: z.unknown() };
const Echo = agent("echo", {
  capabilities: { echo: Any, spell: { ...Any, stream: z.string() } },
});
const News = topic("news.{desk}", { schema: z.object({ desk: z.string() }) });
const handlers = {
  echo: (input: unknown) => input,
  spell: async function* (input: unknown) {
    yield* String(input);
  },
};

/** Looks on from a connection of its own; resolves once the others know. */
async function look(others: Mesh[]): Promise<{ seen: TappedMessage[]; end: () => void }> {
  const watcher = await meshes.join({ name: "watcher" });
  const seen: TappedMessage[] = [];
  const end = watcher.tap((message) => seen.push(message));
  await inTurn(others, (other) => {
    const knows = async () => {
      await other.inspect("nobody").catch(() => undefined);
      return seen.some(({ sender }) => sender === other.client);
    };
    return expect.poll(knows).toBe(true);
  });
  seen.length = 0;
  return { seen, end };
}

test("an onlooker sees requests, answers, chunks, control messages and events, decoded", async () => {
  const [host, caller] = [await meshes.join({ name: "host" }), await meshes.join({ name: "me" })];
  const { info } = await host.host(Echo, handlers);
  await caller.waitFor(Echo);
  const { seen } = await look([host, caller]);
  await caller.get(Echo).echo({ n: 1n });
  for await (const _ of caller.get(Echo).spell.stream("ab"));
  await caller.inspect(info.instance);
  await caller.publish(News, { desk: "fx" });
  const find = (kind: string, name: string) =>
    seen.filter((m) => m.kind === kind && m.name === name);
  await expect.poll(() => find("event", "news.{desk}").length).toBe(1);
  expect(find("request", "echo")).toMatchObject([
    {
      subject: `${meshes.name}.rpc.echo.echo.i.${info.instance}`,
      sender: caller.client,
      recipient: info.instance,
      value: { n: 1n },
    },
  ]);
  expect(find("response", "echo")).toMatchObject([{ sender: info.instance, value: { n: 1n } }]);
  expect(find("chunk", "spell").map(({ value, seq }) => [value, seq])).toEqual([
    ["a", 0],
    ["b", 1],
  ]);
  const describes = find("control", "describe").map(({ subject }) => subject);
  expect(describes).toContain(`${meshes.name}.ctl.${info.instance}`);
  expect(find("event", "news.{desk}")).toMatchObject([
    { subject: `${meshes.name}.evt.news.fx`, value: { desk: "fx" }, seq: 1 },
  ]);
  const [request] = find("request", "echo");
  expect(find("response", "echo")[0]!.id).toBe(request!.id);
});

test("an onlooker does not hide that an instance is gone", async () => {
  const [host, caller] = [await meshes.join(), await meshes.join()];
  const { info } = await host.host(Echo, handlers);
  await caller.waitFor(Echo);
  await look([host, caller]);
  const nats = await meshes.nats();
  // A record of an instance that has never been there: as if it had died a moment ago.
  const record = { ...info, instance: "ghost" };
  await nats.request(`$KV.${meshes.name}-registry.echo.ghost`, JSON.stringify(record));
  await caller.waitFor(Echo, { instances: 2 });
  const calls = Array.from({ length: 20 }, (_, n) => caller.get(Echo).echo(n, { timeout: "5s" }));
  expect(await Promise.all(calls)).toEqual(calls.map((_, n) => n));
  await expect(caller.inspect("ghost")).rejects.toMatchObject({ code: "NO_AGENT" });
});

test("nothing is copied once nobody looks on", async () => {
  const mesh = await meshes.join();
  await mesh.host(Echo, handlers);
  const { seen, end } = await look([mesh]);
  end();
  const nats = await meshes.nats();
  let copies = 0;
  nats.subscribe(`${meshes.name}.tap.>`, { callback: () => void copies++ });
  await nats.flush();
  const quiet = async () => {
    const before = copies;
    await mesh.get(Echo).echo(0);
    await nats.flush();
    return copies === before;
  };
  await expect.poll(quiet, { timeout: 8_000, interval: 100 }).toBe(true);
  expect(seen).toEqual([]);
});
