import { startBroker, startProxy } from "@plexus/testing";
import { expect, test } from "vitest";
import { silent, useMeshes } from "../../../test/support/mesh.ts";
import type { Entry } from "./bucket.ts";
import type { Logger } from "./log.ts";
import { connect } from "./mesh.ts";

const meshes = useMeshes();

test("values on file survive the broker's death, those in memory do not, and both buckets go on", async () => {
  await using broker = await startBroker();
  await using mesh = await connect({ servers: broker.url, mesh: "m", http: false, log: silent });
  const [file, memory] = [mesh.bucket("f"), mesh.bucket("m", { storage: "memory" })];
  const revision = await file.put("k", 1);
  const remembered = await memory.put("k", 1);
  await broker.restart({ signal: "SIGKILL", downMs: 200 });
  await expect.poll(() => mesh.connected).toBe(true);
  expect((await file.get("k"))!.value).toBe(1);
  expect(await file.put("k", 2, { revision })).toBeGreaterThan(revision);
  expect(await memory.get("k")).toBeUndefined();
  expect(await memory.put("k", 2, { revision: 0 })).toBeGreaterThan(remembered);
  expect((await memory.get("k"))!.value).toBe(2);
});

test("who watches hears, when the network is back, what was written and removed meanwhile", async () => {
  await using proxy = await startProxy({ target: meshes.broker.url });
  const [writer, watcher] = [await meshes.join(), await meshes.join({ servers: proxy.url })];
  const bucket = writer.bucket("b", { storage: "memory" });
  await bucket.put("gone", 1);
  await bucket.put("changed", 1);
  const heard = new Map<string, Entry>();
  const mine = watcher.bucket("b", { storage: "memory" });
  await mine.watch((entry) => heard.set(entry.key, entry));
  expect([...heard.keys()].toSorted()).toEqual(["changed", "gone"]);
  await proxy.cut();
  await expect.poll(() => watcher.connected).toBe(false);
  await bucket.put("gone", undefined);
  await bucket.put("changed", 2);
  await bucket.put("new", 1);
  await expect(mine.put("changed", 3)).rejects.toMatchObject({ code: "NOT_CONNECTED" });
  await proxy.heal();
  await expect.poll(() => heard.get("changed")!.value).toBe(2);
  await expect.poll(() => heard.get("gone")!.value).toBeUndefined();
  await expect.poll(() => heard.get("new")?.value).toBe(1);
});

test("a bucket of the mesh's own is nobody else's", async () => {
  const mesh = await meshes.join();
  expect(() => mesh.bucket("leases")).toThrow("the mesh's own");
  expect(() => mesh.bucket("a b")).toThrow("not a name");
  expect(() => mesh.bucket("b", { storage: "file", ttl: "1s" })).toThrow("in memory");
});

test("who watches hears what was written meanwhile also if the broker does not answer at first", async () => {
  await using proxy = await startProxy({ target: meshes.broker.url });
  const writer = await meshes.join();
  const log: Logger = {
    ...silent,
    warn: (_fields, message) => {
      if (message.includes("restored")) proxy.hold("toClient");
      if (message.includes("could not be read again")) void proxy.heal();
    },
  };
  const watcher = await meshes.join({ servers: proxy.url, log });
  const [bucket, mine] = [writer.bucket("b"), watcher.bucket("b")];
  await bucket.put("k", 1);
  let heard: unknown;
  await mine.watch(({ value }) => (heard = value), "k");
  expect(heard).toBe(1);
  await proxy.cut();
  await bucket.put("k", 2);
  await proxy.heal();
  await expect.poll(() => heard, { timeout: 20_000 }).toBe(2);
}, 30_000);

test("asking a broker that is back without JetStream fails, and does not hang", async () => {
  await using broker = await startBroker();
  await using mesh = await connect({ servers: broker.url, mesh: "m", http: false, log: silent });
  const bucket = mesh.bucket("f");
  await bucket.put("k", 1);
  await broker.stop();
  await using bare = await startBroker({ port: broker.port, jetstream: false });
  expect(bare.url).toBe(broker.url);
  await expect.poll(() => mesh.connected).toBe(true);
  await expect(bucket.get("k")).rejects.toMatchObject({ code: "NOT_CONNECTED" });
});
