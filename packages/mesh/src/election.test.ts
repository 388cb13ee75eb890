import { setTimeout as sleep } from "node:timers/promises";
import type { MeshError } from "@plexus/core";
import { startProxy } from "@plexus/testing";
import { expect, test } from "vitest";
import { fired, gate, upTo, useMeshes } from "../../../test/support/mesh.ts";
import type { ElectOptions, Leadership } from "./election.ts";
import type { Mesh } from "./mesh.ts";

const meshes = useMeshes();

const ttl = 1_500;

/** A candidate that leads until its signal fires, and the terms it has had. */
function stand(mesh: Mesh, options: Partial<ElectOptions> = {}) {
  const terms: Leadership[] = [];
  const election = mesh.elect("scheduler", {
    ttl,
    onElected: async (leadership) => {
      terms.push(leadership);
      await fired(leadership.signal);
    },
    ...options,
  });
  return { election, terms, mesh };
}

test("one of several candidates leads, and everybody knows who", async () => {
  const joined = await Promise.all(upTo(4).map((n) => meshes.join({ name: `desk${n}` })));
  const candidates = joined.map((mesh) => stand(mesh));
  const leaders = () => candidates.map(({ election }) => election.leader);
  await expect.poll(() => leaders().every((leader) => leader !== undefined)).toBe(true);
  const leading = candidates.filter(({ election }) => election.leading);
  expect(leading).toHaveLength(1);
  const [{ mesh, terms }] = leading as [(typeof leading)[0]];
  const leader = { holder: mesh.client, name: mesh.name, token: terms[0]!.token };
  expect(leaders()).toEqual(candidates.map(() => leader));
  await sleep(2 * ttl); // it stays
  expect(leaders()).toEqual(candidates.map(() => leader));
  expect(candidates.flatMap((candidate) => candidate.terms)).toHaveLength(1);
});

test("whoever resigns hands over at once, and listeners are told", async () => {
  const [one, two] = [stand(await meshes.join()), stand(await meshes.join())];
  await expect.poll(() => one.election.leading || two.election.leading).toBe(true);
  const [first, second] = one.election.leading ? [one, two] : [two, one];
  await expect.poll(() => second.election.leader).toBeDefined();
  const told: (string | undefined)[] = [];
  second.election.watch((leader) => told.push(leader?.holder));
  second.election.watch(() => {
    throw new Error("a listener");
  });
  const resigned = performance.now();
  await first.election.resign();
  await expect.poll(() => second.election.leading, { interval: 5 }).toBe(true);
  expect(performance.now() - resigned).toBeLessThan(500);
  expect(first.election.leading).toBe(false);
  expect(first.terms[0]!.signal.reason).toMatchObject({ code: "CANCELED" });
  expect(second.terms[0]!.token).toBeGreaterThan(first.terms[0]!.token);
  expect(told).toEqual([undefined, second.mesh.client]);
  await sleep(ttl);
  expect(first.terms).toHaveLength(1); // it does not stand any more
  await second.election[Symbol.asyncDispose]();
  expect(second.election.leader).toBeUndefined();
});

test("when the function ends or fails another process gets the turn, and then this one again", async () => {
  const [one, two] = [await meshes.join(), await meshes.join()];
  const turns: string[] = [];
  const short = (name: string, end: () => void) => () => {
    turns.push(name);
    end();
  };
  const onElected = {
    one: short("one", () => undefined),
    two: short("two", () => {
      throw new Error("two fails");
    }),
  };
  one.elect("scheduler", { ttl, onElected: onElected.one });
  two.elect("scheduler", { ttl, onElected: onElected.two });
  await expect.poll(() => turns.length, { timeout: 10_000 }).toBeGreaterThanOrEqual(6);
  // Both stand again after the same pause, so which of them is first may change; neither is left out.
  const had = (name: string): number => turns.slice(0, 6).filter((turn) => turn === name).length;
  expect(Math.min(had("one"), had("two"))).toBeGreaterThanOrEqual(2);
  await Promise.all([one.close(), two.close()]);
});

test("a leader that is cut off stops before the next one starts, and stands again afterwards", async () => {
  await using proxy = await startProxy({ target: meshes.broker.url });
  const events: string[] = [];
  const log = (name: string): Partial<ElectOptions> => ({
    onElected: async ({ signal }) => {
      events.push(`${name} begins`);
      const { code } = (await fired(signal)) as MeshError;
      events.push(`${name} ends: ${code}`);
    },
  });
  const first = stand(await meshes.join({ servers: proxy.url }), log("first"));
  await expect.poll(() => first.election.leading).toBe(true);
  const second = stand(await meshes.join(), log("second"));
  await expect.poll(() => second.election.leader).toBeDefined();
  const token = second.election.leader!.token;
  first.election.watch((leader) => events.push(`first sees ${leader ? "one" : "nobody"}`));
  await proxy.cut();
  await expect.poll(() => second.election.leading).toBe(true);
  const story = ["first begins", "first sees nobody", "first ends: FENCED", "second begins"];
  expect(events).toEqual(story);
  expect(first.election.leader).toBeUndefined();
  await proxy.heal();
  await expect.poll(() => first.election.leader?.holder).toBe(second.mesh.client);
  expect(first.election.leader!.token).toBeGreaterThan(token);
  expect(events).toEqual([...story, "first sees one"]);
});

test("closing the mesh resigns, and lets the function finish before the next one starts", async () => {
  const [one, two] = [await meshes.join(), await meshes.join()];
  const events: string[] = [];
  const began = gate();
  one.elect("scheduler", {
    onElected: async ({ signal }) => {
      began.open();
      await fired(signal);
      await sleep(300);
      events.push("first ended");
    },
  });
  await began.opened;
  two.elect("scheduler", { onElected: () => void events.push("second began") });
  await one.close();
  await expect.poll(() => events, { interval: 5 }).toEqual(["first ended", "second began"]);
  expect(() => one.elect("scheduler", { onElected: () => 0 })).toThrow(
    expect.objectContaining({ code: "NOT_CONNECTED" }),
  );
});

test("a function that does not end is not waited for longer than the ttl, nor overlapped before", async () => {
  const [one, two] = [await meshes.join(), await meshes.join()];
  const never = new Promise<void>(() => undefined);
  const first = stand(one, { onElected: () => never });
  await expect.poll(() => first.election.leading).toBe(true);
  const second = stand(two);
  const resigning = performance.now();
  await first.election.resign();
  const resigned = performance.now();
  expect(resigned - resigning).toBeGreaterThan(ttl - 50);
  expect(resigned - resigning).toBeLessThan(ttl + 500);
  expect(second.election.leading).toBe(false);
  await expect.poll(() => second.election.leading).toBe(true);
  expect(performance.now() - resigned).toBeGreaterThan(ttl / 2); // the lease was left to expire
});

test("who stands without a function or with a senseless name is told at once", async () => {
  const mesh = await meshes.join();
  const invalid = expect.objectContaining({ code: "INVALID_CONTRACT" });
  expect(() => mesh.elect("scheduler", {} as never)).toThrow(invalid);
  expect(() => mesh.elect("", { onElected: () => 0 })).toThrow(invalid);
  expect(() => mesh.elect("scheduler", { onElected: () => 0, ttl: 1 })).toThrow(invalid);
});
