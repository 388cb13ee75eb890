import { setTimeout as sleep } from "node:timers/promises";
import type { InstanceInfo, Mesh } from "@plexus/mesh";
import {
  barsBefore,
  Desk,
  feedSchedule,
  loadDataset,
  planRun,
  Role,
  simulate,
} from "@plexus/trading";
import { describe, expect, inject, test } from "vitest";
import { inTurn, upTo } from "../support/mesh.ts";
import { Clerk } from "./agents/contract.ts";
import { NOTHING, useCluster } from "./use-cluster.ts";

const images = inject("images");
const STOP_SECONDS = 30;

/** Never repeated, so that every call that is lost shows. */
const once = (caller: Mesh) => caller.get(Clerk).serve({ ms: 5 }, { timeout: "20s" });
/** Repeated elsewhere when an instance says nothing for a second. */
const patiently = (caller: Mesh) =>
  caller.get(Clerk).add({ a: 1, b: 2, ms: 5 }, { timeout: "20s", attemptTimeout: "1s" });

describe.skipIf(!images)("agents in containers", () => {
  const fixture = useCluster(images, 3);

  test("are healthy while their event loop turns, and unhealthy when it does not", async () => {
    const own = { PLEXUS_MESH: "alone" };
    await using clerk = await fixture.startClerk({ env: own, healthEveryMs: 500 });
    const health = () => clerk.health();
    await expect.poll(health, { timeout: 10_000 }).toBe("healthy");
    await clerk.signal("SIGSTOP");
    await expect.poll(health, { timeout: 10_000 }).toBe("unhealthy");
    await clerk.signal("SIGCONT");
    await expect.poll(health, { timeout: 10_000 }).toBe("healthy");
  }, 240_000);

  test("finish what they have when they are stopped", async () => {
    await using clerk = await fixture.startClerk({ env: { PLEXUS_MESH: "other" } });
    await using mesh = await fixture.join({ mesh: "other" });
    await mesh.waitFor(Clerk);
    const [{ instance }] = mesh.agents(Clerk) as [InstanceInfo];
    const answer = mesh.get(Clerk).serve({ ms: 2_000 });
    await expect.poll(() => mesh.inspect(instance).then(({ running }) => running)).toBe(1);
    const { code, ms } = await clerk.stop(STOP_SECONDS);
    expect(await answer).toEqual({ name: clerk.name, uid: 1000, pid: 1 });
    expect(code).toBe(0);
    expect(ms).toBeGreaterThan(1_000);
  }, 240_000);

  test("are replaced one by one with SIGTERM under load: no call fails, and each drains in time", async () => {
    const damage = await fixture.workThrough(once, async (work) => {
      await inTurn(upTo(3), async (n) => {
        const leaving = fixture.clerks[n]!;
        fixture.clerks[n] = await fixture.startClerk();
        await work.progress(50);
        const { code, ms } = await leaving.stop(STOP_SECONDS);
        expect(code).toBe(0);
        expect(ms).toBeLessThan(STOP_SECONDS * 1_000);
        expect(await leaving.output()).toMatch(/^drained$/m);
      });
    });
    expect(damage).toEqual(NOTHING);
    expect(fixture.present().toSorted()).toEqual(fixture.clerks.map(({ name }) => name).toSorted());
  }, 240_000);

  test("are killed and started again: idempotent calls and tasks go on elsewhere", async () => {
    const damage = await fixture.workThrough(patiently, async (work) => {
      await inTurn(fixture.clerks, async (clerk) => {
        await clerk.kill();
        await work.progress(50);
        await clerk.restart();
        await expect.poll(() => fixture.present(), { timeout: 15_000 }).toHaveLength(3);
      });
    });
    expect(damage).toEqual(NOTHING);
  }, 240_000);

  test("hang for longer than a task may be silent, and go on: their late results are refused", async () => {
    const damage = await fixture.workThrough(patiently, async (work) => {
      await fixture.clerks[0]!.pause();
      await Promise.all([work.progress(100), sleep(4_000)]);
      await fixture.clerks[0]!.resume();
      await expect.poll(() => fixture.present(), { timeout: 15_000 }).toHaveLength(3);
    });
    expect(damage).toEqual(NOTHING);
  }, 240_000);

  test("are cut off from the network and return by themselves", async () => {
    const [clerk] = fixture.clerks;
    const damage = await fixture.workThrough(patiently, async (work) => {
      await clerk!.disconnect();
      await work.progress(100);
      await expect.poll(() => fixture.present(), { timeout: 15_000 }).not.toContain(clerk!.name);
      await clerk!.reconnect();
      await expect.poll(() => fixture.present(), { timeout: 40_000 }).toContain(clerk!.name);
    });
    expect(damage).toEqual(NOTHING);
  }, 240_000);

  test("trade, a role in each, exactly as the simulation does", async () => {
    await using mesh = await fixture.join({ mesh: "trading" });
    const plan = planRun({ symbols: 4, seed: 1, rate: 1_000, bars: 2_000 });
    await using desk = await Desk.open(mesh, plan);
    const env = { PLEXUS_MESH: "trading" };
    const roles = await Promise.all(
      Role.options.map((role) =>
        fixture.cluster.startAgent(role, ["trading", role], { until: "running", env }),
      ),
    );
    const outcome = await desk.run(new AbortController().signal, new Promise(() => undefined));
    const dataset = loadDataset();
    const bars = barsBefore(feedSchedule(dataset, plan), plan.bars);
    const { closing } = simulate({ dataset, symbols: plan.symbols, seed: plan.seed, bars });
    expect(outcome).toMatchObject({ lost: 0, duplicates: 0, signals: 2_000, closing });
    const endings = await Promise.all(roles.map((role) => role.stop(STOP_SECONDS)));
    expect(endings.map(({ code }) => code)).toEqual(roles.map(() => 0));
  }, 240_000);
});
