import { randomBytes } from "node:crypto";
import { Workspaces } from "@plexus/core";
import { startProxy } from "@plexus/testing";
import { expect, test } from "vitest";
import { inTurn, upTo, useMeshes } from "../../../test/support/mesh.ts";
import { openWorkspace, refused } from "../../../test/support/workspace.ts";

const meshes = useMeshes();
const HASH = "x".repeat(43);

test("a large binary file comes back as it was written, and one that is too large is refused before it is sent", async () => {
  const [ada, bob] = await openWorkspace(meshes, "ada", "bob");
  const bytes = randomBytes(3_000_000);
  await ada.write("big.bin", bytes);
  expect(Buffer.compare((await bob.read("big.bin")).bytes, bytes)).toBe(0);
  await ada.write("empty", "");
  expect(await bob.read("empty")).toMatchObject({ text: "", size: 0 });
  const huge = new Uint8Array(32 * 1024 * 1024 + 1);
  await expect(ada.write("huge.bin", huge)).rejects.toMatchObject({ code: "MESSAGE_TOO_LARGE" });
  expect(await bob.head()).toBe(2);
}, 60_000);

test("the same content is stored once, whoever writes it wherever", async () => {
  const [ada, bob] = await openWorkspace(meshes, "ada", "bob");
  const bytes = randomBytes(600_000);
  await ada.write("a", bytes);
  await bob.write("b", bytes);
  const nats = await meshes.nats();
  const info = await nats.request(`$JS.API.STREAM.INFO.${meshes.name}-blobs`, "");
  expect(info.json<{ state: { messages: number } }>().state.messages).toBe(3);
});

test("a transaction of a thousand files is one commit, and of ten thousand is refused whole", async () => {
  const [ada] = await openWorkspace(meshes, "ada");
  const write = (count: number) =>
    ada.transact({}, (context) => {
      for (const n of upTo(count)) context.write(`dir ${n % 10}/file ${n}`, String(n));
    });
  expect(await write(1_000)).toMatchObject({ version: 1 });
  expect(await ada.list("dir 3/")).toHaveLength(100);
  await expect(write(10_000)).rejects.toMatchObject({ code: "INVALID_INPUT" });
  expect(await ada.head()).toBe(1);
}, 60_000);

test("a commit whose record is larger than a message may be is refused whole", async () => {
  const [ada] = await openWorkspace(meshes, "ada");
  const name = "n".repeat(250);
  const work = ada.transact({}, (context) => {
    for (const n of upTo(3_000)) context.write(`${name}/${n}`, "");
  });
  await expect(work).rejects.toMatchObject({ code: "MESSAGE_TOO_LARGE" });
  expect(await ada.head()).toBe(0);
  expect(await ada.write("small", "1")).toMatchObject({ version: 1 });
}, 60_000);

test("paths that would leave the tree are refused, whoever sends them", async () => {
  const [ada] = await openWorkspace(meshes, "ada");
  const raw = (await meshes.join()).get(Workspaces, "shop");
  const hostile = ["../up", "/etc/passwd", "a\0b", ".git/config", ".plexus/x", "a".repeat(4_096)];
  await inTurn(hostile, async (path) => {
    await expect(ada.write(path, "")).rejects.toMatchObject({ code: "INVALID_INPUT" });
    await expect(ada.read(path)).rejects.toMatchObject({ code: "INVALID_INPUT" });
    const write = { path, base: 0, size: 0, hash: HASH };
    const request = { id: path.slice(0, 9), by: "eve", message: "", reads: [], parents: [] };
    const sent = raw.commit({ ...request, writes: [write] }, { id: request.id });
    await expect(sent).rejects.toMatchObject({ code: "INVALID_INPUT" });
  });
  expect(await ada.head()).toBe(0);
});

test("letters are one whichever way they are written, and a name in another case is not another file", async () => {
  const [ada, bob] = await openWorkspace(meshes, "ada", "bob");
  await ada.write("u\u0308.md", "1");
  expect(await bob.read("\u00FC.md")).toMatchObject({ text: "1", path: "\u00FC.md" });
  await expect(ada.write("\u00DC.md", "2")).rejects.toMatchObject({ code: "INVALID_INPUT" });
});

test("a commit that names what does not exist is refused: bases, hashes, ids that are not its own", async () => {
  const [ada] = await openWorkspace(meshes, "ada");
  await expect(ada.write("a", "1", { base: 9 })).rejects.toMatchObject({ code: "INVALID_INPUT" });
  await expect(ada.write("a", "1", { parents: [9] })).rejects.toMatchObject({
    code: "INVALID_INPUT",
  });
  await expect(ada.at(9)).rejects.toMatchObject({ code: "NO_FILE" });
  await expect(ada.diff(0, 9)).rejects.toMatchObject({ code: "NO_FILE" });
  await expect(ada.conflict("c123")).rejects.toMatchObject({ code: "NO_FILE" });
  const unknown = { id: "c123", commit: "", by: "ada", message: "", clashes: [] };
  await expect(ada.vote(unknown, ["ours"])).rejects.toMatchObject({ code: "NO_FILE" });
  const raw = (await meshes.join()).get(Workspaces, "shop");
  const request = { by: "eve", message: "", reads: [], parents: [] };
  const bad = [
    { ...request, id: "one", writes: [{ path: "a", base: 0, size: 0, hash: "../x" }] },
    { ...request, id: "another", writes: [{ path: "a", base: 0, size: 0, hash: HASH }] },
    { ...request, id: "one", by: "", writes: [] },
  ];
  await inTurn(bad, async (commit) => {
    await expect(raw.commit(commit, { id: "one" })).rejects.toMatchObject({
      code: "INVALID_INPUT",
    });
  });
  expect(await ada.head()).toBe(0);
});

test("a commit that is sent twice is made once, and both are told of the same version", async () => {
  const [ada, bob] = await openWorkspace(meshes, "ada", "bob");
  const write = () => ada.write("a", "1", { id: "once", base: 0 });
  const both = await Promise.all([write(), write()]);
  expect(both.map(({ version }) => version)).toEqual([1, 1]);
  await bob.write("a", "2", { base: 1 });
  expect(await write()).toMatchObject({ version: 1, commit: "once" });
  const late = () => ada.write("a", "3", { id: "late", base: 1 });
  await refused(late());
  await refused(late());
  expect((await ada.read("a")).text).toBe("2");
});

test("history is found whatever else somebody has recorded under the workspace's key", async () => {
  const [ada] = await openWorkspace(meshes, "ada");
  const raw = (await meshes.join()).get(Workspaces, "shop");
  await inTurn(upTo(6), async (n) => {
    await ada.write(`file ${n % 2}`, String(n));
    const request = { id: `bad ${n}`, by: "eve", message: "", reads: [], parents: [99] };
    const sent = await raw.commit.send({ ...request, writes: [] }, { id: request.id });
    await expect(sent.result()).rejects.toMatchObject({ code: "INVALID_INPUT" });
  });
  const log = await ada.log();
  expect(log.map(({ version }) => version)).toEqual([6, 5, 4, 3, 2, 1]);
  const one = await ada.log({ path: "file 0" });
  expect(one.map(({ version }) => version)).toEqual([5, 3, 1]);
  const past = await (await ada.at(2)).list();
  expect(past.map(({ path, version }) => [path, version])).toEqual([
    ["file 0", 1],
    ["file 1", 2],
  ]);
});

test("commits under way when the connection breaks are made once each", async () => {
  await openWorkspace(meshes);
  await using proxy = await startProxy({ target: meshes.broker.url });
  const mesh = await meshes.join({ servers: proxy.url });
  const repo = mesh.workspace("shop", { agent: "ada" });
  const versions: number[] = [];
  const writing = inTurn(upTo(60), async (n) => {
    versions.push((await repo.write("count", String(n), { id: `count ${n}` })).version);
  });
  await inTurn(upTo(4), async (n) => {
    await expect.poll(() => versions.length, { timeout: 20_000 }).toBeGreaterThan(n * 12);
    await proxy.cut();
    await proxy.heal();
  });
  await writing;
  expect(versions).toEqual(upTo(60).map((n) => n + 1));
  const log = await repo.log();
  expect(log.map(({ id }) => id)).toEqual(upTo(60).map((n) => `count ${59 - n}`));
}, 90_000);

test("a commit ends when its time is over, wherever it waits, and when its caller gives up", async () => {
  await openWorkspace(meshes, "host");
  await using proxy = await startProxy({ target: meshes.broker.url });
  const mesh = await meshes.join({ servers: proxy.url });
  const ada = mesh.workspace("shop", { agent: "ada" });
  await ada.write("a", "1");
  proxy.hold();
  const began = performance.now();
  const given = new AbortController();
  const options = [{ timeout: 500 }, { signal: given.signal }];
  const commits = options.flatMap((option) => [
    ada.write("a", "2", option),
    ada.transact(option, (context) => context.write("b", "2")),
  ]);
  setTimeout(() => given.abort(), 500);
  const codes = (await Promise.allSettled(commits)).map(
    (ended) => ended.status === "rejected" && (ended.reason as { code?: string }).code,
  );
  expect(codes).toEqual(["TIMEOUT", "TIMEOUT", "CANCELED", "CANCELED"]);
  expect(performance.now() - began).toBeLessThan(10_000); // each would have waited for 30 s
  const before = ada.transact({ signal: given.signal }, () => 0);
  await expect(before).rejects.toMatchObject({ code: "CANCELED" });
  await proxy.heal();
}, 60_000);
