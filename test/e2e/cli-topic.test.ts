import { topic } from "@plexus/core";
import type { Mesh, TopicInfo, TopicLag } from "@plexus/mesh";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { inTurn, upTo, useMeshes } from "../support/mesh.ts";
import { plexus, startPlexus, type CliResult } from "../support/cli.ts";

const Tick = z.object({ symbol: z.string(), n: z.number() });
const Ticks = topic("ticks.{symbol}", { schema: Tick, durable: { partitions: 2 } });

vi.setConfig({ testTimeout: 60_000 }); // each starts several processes, and the machine may be busy

const meshes = useMeshes();
let mesh: Mesh;

const env = () => ({ PLEXUS_SERVERS: meshes.broker.url, PLEXUS_MESH: meshes.name });
const run = (...args: string[]): Promise<CliResult> => plexus(["topic", ...args], { env: env() });

async function json<T>(...args: string[]): Promise<T> {
  const { code, stdout, stderr } = await run(...args, "--json");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout) as T;
}

async function replay(...args: string[]): Promise<{ sequence: number; value: { n: number } }[]> {
  const { code, stdout, stderr } = await run("replay", Ticks.name, ...args, "--json");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const lines = stdout.split("\n").filter((line) => line !== "");
  return lines.map((line) => JSON.parse(line) as { sequence: number; value: { n: number } });
}

const publish = (from: number, count: number): Promise<void> =>
  inTurn(upTo(count), (i) => {
    const n = from + i;
    return mesh.publish(Ticks, { symbol: n % 2 ? "odd" : "even", n }, { id: `tick-${n}` });
  });

beforeEach(async () => {
  mesh = await meshes.join();
});

describe("plexus topic ls", () => {
  it("lists the durable topics", async () => {
    expect((await run("ls")).stdout).toBe(`No durable topics in mesh ${meshes.name}.\n`);
    await publish(0, 5);
    const { code, stdout } = await run("ls");
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^TOPIC +PARTITIONS +EVENTS +SEQUENCES +BYTES +NEWEST +KEPT +CONSUMERS$/m,
    );
    expect(stdout).toMatch(/^ticks\.\{symbol\} +2 +5 +1-5 +\d+ +\d+s ago +7d/m);
    expect(await json<TopicInfo[]>("ls")).toMatchObject([{ topic: Ticks.name, events: 5 }]);
  });
});

describe("plexus topic lag", () => {
  it("shows how far the subscriptions are, of one topic or of all", async () => {
    const reader = await meshes.join();
    const subscription = await reader.subscribe(Ticks, () => undefined, { name: "ledger" });
    await publish(0, 3);
    await expect.poll(() => mesh.topicLag(Ticks)).toMatchObject([{ pending: 0, ackPending: 0 }]);
    await subscription.unsubscribe();
    await publish(3, 4);
    const { code, stdout } = await run("lag");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ticks\.\{symbol\} +ledger +4 +0 +0 +0 +\d+s ago$/m);
    const lag = { subscription: "ledger", partitions: 2, pending: 4, givenUp: 0 };
    expect(await json<TopicLag[]>("lag", Ticks.name)).toMatchObject([lag]);
  });

  it("exits 3 when there is no such topic", async () => {
    const { code, stderr } = await run("lag", "nothing");
    expect(code).toBe(3);
    expect(stderr).toMatch(/^plexus topic lag: NO_TOPIC: .*nothing.*`plexus topic ls`.*\n$/);
  });
});

describe("plexus topic replay", () => {
  it("prints what is stored, from anywhere", async () => {
    await publish(0, 6);
    const { code, stdout } = await run("replay", Ticks.name);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^\d{4}-\d\d-\d\d [\d:.]+ 1 ticks\.even\.p\d {2}\{ symbol: 'even', n: 0 \}$/m,
    );
    expect(stdout.trimEnd().split("\n")).toHaveLength(6);
    const all = await replay();
    expect(all.map(({ value }) => value.n)).toEqual(upTo(6));
    expect(all[0]).toMatchObject({ sequence: 1, id: "tick-0", sender: mesh.client });
    expect((await replay("--sequence", "5")).map(({ sequence }) => sequence)).toEqual([5, 6]);
    expect((await replay("--count", "2")).map(({ sequence }) => sequence)).toEqual([1, 2]);
    expect(await replay("--where", "symbol=odd")).toHaveLength(3);
    expect(await replay("--from", "1h")).toHaveLength(6);
    expect(await replay("--from", new Date(Date.now() + 60_000).toISOString())).toEqual([]);
  });

  it("follows, until it is interrupted", async () => {
    await publish(0, 2);
    await using following = startPlexus(
      ["topic", "replay", Ticks.name, "--follow", "--json"],
      env(),
    );
    await following.waitForLine('"n":1', 20_000);
    await publish(2, 1);
    await following.waitForLine('"n":2');
    expect((await following.kill("SIGINT")).code).toBe(130);
  });

  it("exits 2 for what makes no sense, 3 for an unknown topic", async () => {
    expect((await run("replay", "nothing")).code).toBe(3);
    expect((await run("replay", "x", "--from", "yesterday")).code).toBe(2);
    expect((await run("replay", "x", "--where", "symbol")).code).toBe(2);
    expect((await run("replay", "x", "--from", "1h", "--sequence", "1")).code).toBe(2);
    expect((await run()).code).toBe(2);
  });
});
