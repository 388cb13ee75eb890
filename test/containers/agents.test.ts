import { setTimeout as sleep } from "node:timers/promises";
import type { Mesh } from "@plexus/mesh";
import { describe, expect, inject, test } from "vitest";
import { inTurn, upTo } from "../support/mesh.ts";
import { Clerk } from "./agents/contract.ts";
import { useCluster } from "./use-cluster.ts";

const images = inject("images");
const STOP_SECONDS = 30;

describe.skipIf(!images)("agents in containers", () => {
  const fixture = useCluster(images, 3);
  const { clerks, present, workThrough, startClerk } = fixture;

  /** Never repeated, so that every call that is lost shows. */
  const once = (caller: Mesh) => caller.get(Clerk).serve({ ms: 5 }, { timeout: "20s" });
  /** Repeated elsewhere when an instance says nothing for a second. */
  const patiently = (caller: Mesh) =>
    caller.get(Clerk).add({ a: 1, b: 2, ms: 5 }, { timeout: "20s", attemptTimeout: "1s" });

  test("are replaced one by one with SIGTERM under load: no call fails, and each drains in time", async () => {
    await workThrough(once, async (work) => {
      await inTurn(upTo(3), async (n) => {
        const leaving = clerks[n]!;
        clerks[n] = await startClerk();
        await work.progress(50);
        const { code, ms } = await leaving.stop(STOP_SECONDS);
        expect(code).toBe(0);
        expect(ms).toBeLessThan(STOP_SECONDS * 1_000);
        expect(await leaving.output()).toMatch(/^drained$/m);
      });
    });
    expect(present().toSorted()).toEqual(clerks.map(({ name }) => name).toSorted());
  }, 60_000);

  test("are killed and started again: idempotent calls and tasks go on elsewhere", async () => {
    await workThrough(patiently, async (work) => {
      await inTurn(clerks, async (clerk) => {
        await clerk.kill();
        await work.progress(50);
        await clerk.restart();
        await expect.poll(present, { timeout: 15_000 }).toHaveLength(3);
      });
    });
  }, 60_000);

  test("hang for longer than a task may be silent, and go on: their late results are refused", async () => {
    await workThrough(patiently, async (work) => {
      await clerks[0]!.pause();
      await Promise.all([work.progress(100), sleep(4_000)]);
      await clerks[0]!.resume();
      await expect.poll(present, { timeout: 15_000 }).toHaveLength(3);
    });
  }, 60_000);

  test("are cut off from the network and return by themselves", async () => {
    const [clerk] = clerks;
    await workThrough(patiently, async (work) => {
      await clerk!.disconnect();
      await work.progress(100);
      await expect.poll(present, { timeout: 15_000 }).not.toContain(clerk!.name);
      await clerk!.reconnect();
      await expect.poll(present, { timeout: 40_000 }).toContain(clerk!.name);
    });
  }, 90_000);
});
