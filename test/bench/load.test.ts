import { describe, expect, test } from "vitest";
import { now, sleep } from "./clock.ts";
import { closedLoop, openLoop } from "./load.ts";

describe("load", () => {
  test("an open loop starts everything, and charges a stall to what it delayed", async () => {
    const latenesses: number[] = [];
    const started = await openLoop(1000, 0.2, (intended) => {
      if (latenesses.length === 50) for (const end = now() + 40; now() < end;);
      latenesses.push(now() - intended);
    });
    expect(started).toBe(200);
    expect(latenesses).toHaveLength(200);
    expect(Math.min(...latenesses)).toBeGreaterThanOrEqual(0);
    expect(latenesses[60]).toBeGreaterThan(20);
  });

  test("an open loop starts each operation when it is due, not when the next one is", async () => {
    const latenesses: number[] = [];
    await openLoop(10, 0.3, (intended) => latenesses.push(now() - intended));
    expect(latenesses).toHaveLength(3);
    expect(Math.max(...latenesses)).toBeLessThan(100);
  });

  test("an open loop waits where its operations push back", async () => {
    let open = 0;
    let most = 0;
    await openLoop(1000, 0.1, async () => {
      most = Math.max(most, (open += 1));
      await sleep(20);
      open -= 1;
    });
    expect(open).toBe(0);
    expect(most).toBeLessThan(100);
  });

  test("a closed loop keeps just so many operations open", async () => {
    let open = 0;
    let most = 0;
    await closedLoop(8, 0.1, async () => {
      most = Math.max(most, (open += 1));
      await sleep(5);
      open -= 1;
    });
    expect(most).toBe(8);
    expect(open).toBe(0);
  });
});
