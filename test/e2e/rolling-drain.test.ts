import { expect, test } from "vitest";
import { useMeshes } from "../support/mesh.ts";
import { startWorkers, type WorkerProcess } from "../support/workers.ts";
import { Worker } from "./agents/contracts.ts";

const meshes = useMeshes();

test("four replicas are replaced one by one under full load, and no call fails", async () => {
  await using old = await startWorkers(meshes, 4);
  const callers = await Promise.all([meshes.join(), meshes.join(), meshes.join()]);
  await Promise.all(callers.map((mesh) => mesh.waitFor(Worker, { instances: 4 })));
  let stopped = false;
  let answered = 0;
  const served = new Map<string, number>();
  const failures: unknown[] = [];
  const lane = async (mesh: (typeof callers)[number]): Promise<void> => {
    while (!stopped) {
      try {
        // `work` is not idempotent: a call that may have run is never repeated, so each failure would show.
        // oxlint-disable-next-line no-await-in-loop -- one call after the other
        const { instance } = await mesh.get(Worker).work(0, { timeout: "5s" });
        served.set(instance, (served.get(instance) ?? 0) + 1);
        answered++;
      } catch (error) {
        failures.push(error);
      }
    }
  };
  const lanes = callers.flatMap((mesh) => Array.from({ length: 16 }, () => lane(mesh)));
  const fresh: (WorkerProcess[] & AsyncDisposable)[] = [];
  await using stack = new AsyncDisposableStack();
  for (const leaving of old) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other: that is a rolling replacement
    const joining = await startWorkers(meshes, 1);
    stack.use(joining);
    fresh.push(joining);
    const before = answered;
    // oxlint-disable-next-line no-await-in-loop
    await expect.poll(() => answered).toBeGreaterThan(before + 200);
    // oxlint-disable-next-line no-await-in-loop
    expect(await leaving.process.kill("SIGTERM")).toEqual({ code: 0, signal: null });
  }
  const before = answered;
  await expect.poll(() => answered).toBeGreaterThan(before + 1_000);
  stopped = true;
  await Promise.all(lanes);
  expect(failures).toEqual([]);
  const now = callers[0]!.agents(Worker).map(({ instance }) => instance);
  expect(now.toSorted()).toEqual(fresh.map(([worker]) => worker!.instance).toSorted());
  expect([...served.keys()]).toHaveLength(8);
});

test("a process that is asked to end finishes the calls it has, and ends with 0", async () => {
  await using workers = await startWorkers(meshes, 1);
  const mesh = await meshes.join();
  await mesh.waitFor(Worker);
  const call = mesh.get(Worker).hold(700);
  await workers[0]!.process.waitForLine("began hold");
  const exit = workers[0]!.process.kill("SIGTERM");
  const readiness = async () => {
    const response = await fetch(`${workers[0]!.http}/readyz`).catch(() => undefined);
    return response?.status;
  };
  await expect.poll(readiness, { interval: 20 }).toBe(503);
  expect((await call).instance).toBe(workers[0]!.instance);
  expect(await exit).toEqual({ code: 0, signal: null });
});

test("an idle process ends with 0 within a second of SIGTERM", async () => {
  await using workers = await startWorkers(meshes, 1);
  const mesh = await meshes.join();
  await mesh.waitFor(Worker);
  const started = performance.now();
  expect(await workers[0]!.process.kill("SIGTERM")).toEqual({ code: 0, signal: null });
  expect(performance.now() - started).toBeLessThan(1_000);
  await workers[0]!.process.waitForLine("drained");
  await expect.poll(() => mesh.agents(Worker)).toEqual([]);
});

test("a handler that does not end is canceled after the drain timeout, and the process ends with 0", async () => {
  await using workers = await startWorkers(meshes, 1, { DRAIN_TIMEOUT: "200" });
  const mesh = await meshes.join();
  await mesh.waitFor(Worker);
  const settled = Promise.allSettled([mesh.get(Worker).hold(20_000)]);
  await workers[0]!.process.waitForLine("began hold");
  expect(await workers[0]!.process.kill("SIGTERM")).toEqual({ code: 0, signal: null });
  expect(await settled).toMatchObject([{ reason: { code: "CANCELED" } }]);
  await workers[0]!.process.waitForLine("canceled hold");
});
