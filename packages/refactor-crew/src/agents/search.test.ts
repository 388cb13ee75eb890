import { setTimeout as sleep } from "node:timers/promises";
import { startProxy } from "@plexus/testing";
import { expect, test } from "vitest";
import { gate, useMeshes } from "../../../../test/support/mesh.ts";
import type { Commit } from "../workplace.ts";
import { openSearch, type Searcher } from "./search.ts";

const meshes = useMeshes();
const BROKEN_SINCE = 37;

/** A history in which tests fail from some version on. Each look is noted. */
function searcher(looks: number[], look: () => Promise<unknown> = async () => {}) {
  const blamed: number[] = [];
  const history = {
    commits: async () =>
      Array.from({ length: 100 }, (_, i) => ({ version: i + 1, id: `job-${i}` }) as Commit),
    tree: async (version: number) => new Map([["version", String(version)]]),
  };
  const one: Searcher = {
    history,
    async test(tree) {
      await look();
      const version = Number(tree.get("version"));
      looks.push(version);
      const failed = version >= BROKEN_SINCE ? 1 : 0;
      return { passed: 1, failed, failures: [], files: [] };
    },
    settle: async ({ version }) => void blamed.push(version),
  };
  return { one, blamed };
}

const suspicion = { good: 0, bad: 100, files: ["a.test.ts"], failures: ["a"] };

test("the commit with which tests begin to fail is found in a few looks", async () => {
  const looks: number[] = [];
  const { one, blamed } = searcher(looks);
  await using search = await openSearch(await meshes.join(), one);
  expect(await search.find(suspicion)).toBe(true);
  expect(blamed).toEqual([BROKEN_SINCE]);
  expect(looks.length).toBeLessThanOrEqual(7);
  expect(await search.find({ ...suspicion, good: 200, bad: 201 })).toBe(false);
});

test("an integrator that vanishes in the middle goes on where it was in its next life", async () => {
  await using proxy = await startProxy({ target: meshes.broker.url });
  const looks: number[] = [];
  const stuck = gate();
  const first = searcher(looks, async () => {
    await sleep(200); // tests take their time: what was seen before is recorded by then
    if (looks.length < 3) return;
    stuck.open();
    await new Promise(() => {});
  });
  const dying = await openSearch(await meshes.join({ servers: proxy.url }), first.one);
  dying.find(suspicion).catch(() => {});
  await stuck.opened;
  proxy.hold();
  const { one, blamed } = searcher(looks);
  await using search = await openSearch(await meshes.join(), one);
  await expect
    .poll(async () => {
      await search.finish();
      return blamed;
    })
    .toEqual([BROKEN_SINCE]);
  expect(first.blamed).toEqual([]);
  expect(new Set(looks).size).toBe(looks.length);
}, 90_000);
