import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { startLoad } from "../support/load.ts";
import { metric, upTo, useMeshes } from "../support/mesh.ts";
import { startAgent, startWorkers } from "../support/workers.ts";
import { Numbers, Worker } from "./agents/contracts.ts";

const meshes = useMeshes();

const signals = ["SIGKILL", "SIGTERM"] as const;

test.each(signals)(
  "calls resume by themselves after a broker that ended by %s is back",
  async (signal) => {
    await using workers = await startWorkers(meshes, 3);
    const mesh = await meshes.join();
    await mesh.waitFor(Worker, { instances: 3 });
    const work = () => mesh.get(Worker).work(0, { timeout: "10s" });
    const pids = async () => (await work()).pid;
    await using load = startLoad(upTo(8).map(() => pids));
    await expect.poll(() => load.answered).toBeGreaterThan(100);
    await meshes.broker.restart({ signal, downMs: 300 });
    const down = load.answered;
    await expect.poll(() => load.answered, { timeout: 15_000 }).toBeGreaterThan(down + 100);
    await load.stop();
    // What was in flight may have run, so it is not repeated; nothing else fails, though instances come back one by one.
    const lost = expect.objectContaining({ code: "NOT_CONNECTED", retryable: false });
    expect(load.failures).toEqual(load.failures.map(() => lost));
    expect(load.failures.length).toBeLessThanOrEqual(8);
    // The registry lived in the broker's memory: everybody has entered it again.
    await expect
      .poll(async () => (await meshes.join()).agents(Worker).length, {
        timeout: 15_000,
        interval: 250,
      })
      .toBe(3);
    await mesh.waitFor(Worker, { instances: 3 });
    expect(load.answers.size).toBe(workers.all.length);
    expect(await metric(mesh, "plexus_reconnects_total")).toBe(1);
  },
);

test.each(signals)(
  "calls in flight when the broker ends by %s get a coded error or their answer",
  async (signal) => {
    await using workers = await startWorkers(meshes, 2);
    const mesh = await meshes.join();
    await mesh.waitFor(Worker, { instances: workers.all.length });
    const worker = mesh.get(Worker);
    const risky = Array.from({ length: 5 }, () => worker.hold(500));
    const safe = Array.from({ length: 5 }, () => worker.holdSafely(500));
    const outcomes = Promise.allSettled(risky);
    const stream = worker.count.stream(10);
    await stream.next();
    await meshes.broker.restart({ signal, downMs: 200 });
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ reason: { code: "NOT_CONNECTED", retryable: false } });
    }
    expect(await Promise.all(safe)).toHaveLength(5);
    const rest = (async () => {
      for await (const n of stream) expect(n).toBeGreaterThan(1);
    })();
    await expect(rest).rejects.toMatchObject({ code: "NOT_CONNECTED" });
  },
);

test("a call that is made while the broker is away is answered when it is back", async () => {
  await using workers = await startWorkers(meshes, 1);
  const mesh = await meshes.join();
  await mesh.waitFor(Worker);
  await meshes.broker.kill();
  await expect.poll(() => mesh.connected).toBe(false);
  const calls = [mesh.get(Worker).hold(0), mesh.get(Worker).holdSafely(0)];
  await sleep(300);
  await meshes.broker.restart();
  for (const { instance } of await Promise.all(calls))
    expect(instance).toBe(workers.first.instance);
});

test.each(signals)(
  "subscriptions go on after a broker that ended by %s, and what is lost is counted",
  async (signal) => {
    await using publisher = startAgent(meshes, "publisher");
    const mesh = await meshes.join();
    const got: number[] = [];
    const subscription = await mesh.subscribe(Numbers, (n) => void got.push(n));
    await publisher.waitForLine("ready");
    await expect.poll(() => got.length).toBeGreaterThan(50);
    const first = got[0]!;
    await meshes.broker.restart({ signal, downMs: 200 });
    const atRestart = got.length;
    await expect.poll(() => got.length, { timeout: 15_000 }).toBeGreaterThan(atRestart + 50);
    await publisher.kill("SIGTERM");
    const { accepted, refused } = JSON.parse(await publisher.waitForLine("accepted")) as {
      accepted: number;
      refused: number;
    };
    await expect.poll(() => got.at(-1)).toBe(accepted);
    // Every number that the publisher was told is on its way has arrived or is known to be lost.
    expect(got.length + subscription.lost).toBe(accepted - first + 1);
    expect(refused).toBeGreaterThan(0);
    expect(new Set(got).size).toBe(got.length);
    expect(got).toEqual(got.toSorted((a, b) => a - b));
    expect(await metric(mesh, "plexus_events_lost_total", { topic: "numbers" })).toBe(
      subscription.lost,
    );
  },
);

test("a host that loses its broker cancels nothing, and is found again under its old name", async () => {
  await using workers = await startWorkers(meshes, 1);
  const mesh = await meshes.join();
  await mesh.waitFor(Worker);
  const settled = Promise.allSettled([mesh.get(Worker).hold(800)]);
  await workers.first.process.waitForLine("began hold");
  await meshes.broker.restart({ signal: "SIGKILL" });
  await settled;
  await expect
    .poll(async () => (await meshes.join()).agents(Worker)[0]?.instance, {
      timeout: 15_000,
      interval: 250,
    })
    .toBe(workers.first.instance);
  expect((await mesh.get(Worker).work(0)).pid).toBe(workers.first.process.pid);
  const ready = async () => (await fetch(`${workers.first.http}/readyz`)).status;
  await expect.poll(ready).toBe(200);
});
