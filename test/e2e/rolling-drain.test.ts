import { expect, test } from "vitest";
import { startLoad } from "../support/load.ts";
import { inTurn, upTo, useMeshes } from "../support/mesh.ts";
import { startWorkers } from "../support/workers.ts";
import { Worker } from "./agents/contracts.ts";

const meshes = useMeshes();

test("four replicas are replaced one by one under full load, and no call fails", async () => {
  await using old = await startWorkers(meshes, 4);
  const callers = await Promise.all([meshes.join(), meshes.join(), meshes.join()]);
  await Promise.all(callers.map((mesh) => mesh.waitFor(Worker, { instances: 4 })));
  // `work` is not idempotent: a call that may have run is never repeated, so each failure would show.
  const lanes = callers.map((mesh) => async () => {
    return (await mesh.get(Worker).work(0, { timeout: "5s" })).pid;
  });
  await using load = startLoad(upTo(16).flatMap(() => lanes));
  const fresh: string[] = [];
  await using stack = new AsyncDisposableStack();
  await inTurn(old.all, async (leaving) => {
    const joining = stack.use(await startWorkers(meshes, 1));
    fresh.push(joining.first.instance);
    const before = load.answered;
    await expect.poll(() => load.answered).toBeGreaterThan(before + 200);
    expect(await leaving.process.kill("SIGTERM")).toEqual({ code: 0, signal: null });
  });
  const before = load.answered;
  await expect.poll(() => load.answered).toBeGreaterThan(before + 1_000);
  await load.stop();
  expect(load.failures).toEqual([]);
  const now = callers[0].agents(Worker).map(({ instance }) => instance);
  expect(now.toSorted()).toEqual(fresh.toSorted());
  expect(load.answers.size).toBe(8);
});

test("a process that is asked to end finishes the calls it has, and ends with 0", async () => {
  await using workers = await startWorkers(meshes, 1);
  const mesh = await meshes.join();
  await mesh.waitFor(Worker);
  const call = mesh.get(Worker).hold(700);
  await workers.first.process.waitForLine("began hold");
  const exit = workers.first.process.kill("SIGTERM");
  const readiness = async () => {
    const response = await fetch(`${workers.first.http}/readyz`).catch(() => undefined);
    return response?.status;
  };
  await expect.poll(readiness, { interval: 20 }).toBe(503);
  expect((await call).instance).toBe(workers.first.instance);
  expect(await exit).toEqual({ code: 0, signal: null });
});

test("an idle process ends with 0 within a second of SIGTERM", async () => {
  await using workers = await startWorkers(meshes, 1);
  const mesh = await meshes.join();
  await mesh.waitFor(Worker);
  const started = performance.now();
  expect(await workers.first.process.kill("SIGTERM")).toEqual({ code: 0, signal: null });
  expect(performance.now() - started).toBeLessThan(1_000);
  await workers.first.process.waitForLine("drained");
  await expect.poll(() => mesh.agents(Worker)).toEqual([]);
});

test("a handler that does not end is canceled after the drain timeout, and the process ends with 0", async () => {
  await using workers = await startWorkers(meshes, 1, { DRAIN_TIMEOUT: "200" });
  const mesh = await meshes.join();
  await mesh.waitFor(Worker);
  const settled = Promise.allSettled([mesh.get(Worker).hold(20_000)]);
  await workers.first.process.waitForLine("began hold");
  expect(await workers.first.process.kill("SIGTERM")).toEqual({ code: 0, signal: null });
  expect(await settled).toMatchObject([{ reason: { code: "CANCELED" } }]);
  await workers.first.process.waitForLine("canceled hold");
});
