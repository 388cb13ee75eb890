import { setTimeout as sleep } from "node:timers/promises";
import type { Mesh } from "@plexus/mesh";
import { describe, expect, inject, test } from "vitest";
import { inTurn } from "../support/mesh.ts";
import { Clerk } from "./agents/contract.ts";
import { NOTHING, useCluster } from "./use-cluster.ts";

const images = inject("images");
const SUM = { a: 1, b: 2, ms: 5 };
const STOP_SECONDS = 60;

/** Goes on elsewhere when a broker has taken the request, or its answer, with it. */
const patiently = (caller: Mesh) =>
  caller.get(Clerk).add(SUM, { timeout: "30s", attemptTimeout: "2s" });
/** Waits, whoever is silent. */
const stubbornly = (caller: Mesh) => caller.get(Clerk).add(SUM, { timeout: "30s" });

describe.skipIf(!images)("brokers in containers", () => {
  const fixture = useCluster(images, 3);

  test("the leader is killed and started again: idempotent calls and tasks go on", async () => {
    const damage = await fixture.workThrough(patiently, async (work) => {
      const leader = await fixture.cluster.leader();
      await leader.kill();
      await work.progress(100);
      await leader.restart();
      await fixture.cluster.ready();
    });
    expect(damage).toEqual(NOTHING);
  }, 240_000);

  test("the leader hangs for a while: who is connected to it waits, and nothing is lost", async () => {
    const damage = await fixture.workThrough(stubbornly, async (work) => {
      const leader = await fixture.cluster.leader();
      await leader.pause();
      await sleep(6_000);
      await leader.resume();
      await work.progress(100);
      await fixture.cluster.ready();
    });
    expect(damage).toEqual(NOTHING);
  }, 240_000);

  test("the leader is cut off from the network: the others elect one, and it catches up when it is back", async () => {
    // Clerks that are connected to it find out within half a minute; until then the others must do.
    await fixture.spread();
    const damage = await fixture.workThrough(patiently, async (work) => {
      const leader = await fixture.cluster.leader();
      await leader.disconnect();
      await work.progress(100);
      await expect
        .poll(() => fixture.cluster.leader().then(({ name }) => name), { timeout: 30_000 })
        .not.toBe(leader.name);
      await leader.reconnect();
      await fixture.cluster.ready();
      await work.progress(100);
    });
    expect(damage).toEqual(NOTHING);
  }, 240_000);

  test("are restarted one by one under load: idempotent calls and tasks go on", async () => {
    const damage = await fixture.workThrough(patiently, async (work) => {
      await inTurn(fixture.cluster.brokers, async ({ container }) => {
        const { code, ms } = await container.stop(STOP_SECONDS);
        expect(code).toBe(0);
        expect(ms).toBeLessThan(STOP_SECONDS * 1_000);
        await work.progress(50);
        await container.restart();
        await fixture.cluster.ready();
      });
    });
    expect(damage).toEqual(NOTHING);
  }, 240_000);
});
