import { expect, test } from "vitest";
import { inTurn, metric, useMeshes } from "../support/mesh.ts";
import { countLines, startWorkers, type WorkerProcess } from "../support/workers.ts";
import { Worker } from "./agents/contracts.ts";

const meshes = useMeshes();

/** Makes calls until each worker has one of them; they are counted by what the handlers write. */
async function began(workers: readonly WorkerProcess[], what: string, each: number): Promise<void> {
  const counts = workers.map(({ process }) => countLines(process, `began ${what}`));
  await expect.poll(() => counts.map((count) => count())).toEqual(workers.map(() => each));
}

test("calls in flight at a host that is killed: the idempotent ones are answered by another", async () => {
  await using workers = await startWorkers(meshes, 2);
  const [victim, survivor] = workers.all as [WorkerProcess, WorkerProcess];
  const mesh = await meshes.join();
  await mesh.waitFor(Worker, { instances: 2 });
  const worker = mesh.get(Worker, { placement: "roundRobin" });
  const calls = Array.from({ length: 20 }, () => worker.holdSafely(1_500));
  await began(workers.all, "holdSafely", 10);
  await victim.process.kill();
  const answers = await Promise.all(calls);
  expect(new Set(answers.map(({ instance }) => instance))).toEqual(new Set([survivor.instance]));
  expect(await metric(mesh, "plexus_retries_total", { reason: "agent_lost" })).toBe(10);
  expect(mesh.agents(Worker)).toHaveLength(1); // not only when the record expires
});

test("calls in flight at a host that is killed: the others fail with AGENT_LOST at once", async () => {
  await using workers = await startWorkers(meshes, 1);
  const mesh = await meshes.join();
  await mesh.waitFor(Worker);
  const calls = Array.from({ length: 10 }, () => mesh.get(Worker).hold(20_000));
  const settled = Promise.allSettled(calls);
  await began(workers.all, "hold", 10);
  const killed = performance.now();
  await workers.first.process.kill();
  for (const outcome of await settled) {
    expect(outcome).toMatchObject({ reason: { code: "AGENT_LOST", retryable: false } });
  }
  expect(performance.now() - killed).toBeLessThan(4_000); // two probes of 250 ms, where the timeout is 30 s
  await expect(mesh.get(Worker).hold(0)).rejects.toMatchObject({ code: "NO_AGENT" });
});

test("a stream from a host that is killed ends with AGENT_LOST at once", async () => {
  await using workers = await startWorkers(meshes, 1);
  const mesh = await meshes.join();
  await mesh.waitFor(Worker);
  const stream = mesh.get(Worker).count.stream(20);
  await inTurn([1, 2, 3], async (n) => expect((await stream.next()).value).toBe(n));
  await workers.first.process.kill();
  const killed = performance.now();
  const rest = (async () => {
    for await (const n of stream) expect(n).toBeGreaterThan(3);
  })();
  await expect(rest).rejects.toMatchObject({ code: "AGENT_LOST" });
  expect(performance.now() - killed).toBeLessThan(2_900); // before the silence would be noticed
});

test("a host that dies after it has left the registry is missed as well", async () => {
  await using workers = await startWorkers(meshes, 1);
  const mesh = await meshes.join();
  await mesh.waitFor(Worker);
  const call = mesh.get(Worker).hold(20_000);
  const settled = Promise.allSettled([call]);
  await began(workers.all, "hold", 1);
  await mesh.drain(workers.first.instance);
  await expect.poll(() => mesh.agents(Worker)).toEqual([]);
  await workers.first.process.kill();
  const killed = performance.now();
  expect(await settled).toMatchObject([{ reason: { code: "AGENT_LOST" } }]);
  expect(performance.now() - killed).toBeLessThan(4_000);
});

test("calls to a dead instance that is still in the registry go elsewhere, and the rest is told apart", async () => {
  await using workers = await startWorkers(meshes, 2);
  const [victim, survivor] = workers.all as [WorkerProcess, WorkerProcess];
  const mesh = await meshes.join();
  await mesh.waitFor(Worker, { instances: 2 });
  const worker = mesh.get(Worker, { placement: "roundRobin" });
  const held = [worker.hold(20_000), worker.hold(20_000)];
  const settled = Promise.allSettled(held);
  await began(workers.all, "hold", 1);
  await victim.process.kill();
  // What the broker hands to a socket that it does not yet know to be closed is lost, not bounced.
  const nats = await meshes.nats();
  const probe = (): Promise<unknown> =>
    nats
      .request(`${meshes.name}.ctl.${victim.instance}`, "", { timeout: 100 })
      .catch((error: Error) => error.message);
  await expect.poll(probe, { interval: 5 }).toContain("no responders");
  // Bounced by the broker: moved, although they are not idempotent, as they have not run.
  const answers = await Promise.all(Array.from({ length: 10 }, () => worker.work(0)));
  expect(new Set(answers.map(({ instance }) => instance))).toEqual(new Set([survivor.instance]));
  // The call in flight at the dead one must not be forgotten, though the instance is off the books by now.
  const lost = await Promise.race(held.map((call) => call.catch((error: unknown) => error)));
  expect(lost).toMatchObject({ code: "AGENT_LOST" });
  await survivor.process.kill();
  expect(await settled).toMatchObject([{ status: "rejected" }, { status: "rejected" }]);
});

test("an instance that is killed leaves every registry when its record expires", async () => {
  await using workers = await startWorkers(meshes, 1);
  const bystander = await meshes.join(); // calls nobody, so it cannot learn of the death by a call
  await bystander.waitFor(Worker);
  await workers.first.process.kill();
  await expect.poll(() => bystander.agents(Worker), { timeout: 14_000, interval: 100 }).toEqual([]);
});

test("a process that hangs leaves the registry, and comes back with its work", async () => {
  await using workers = await startWorkers(meshes, 1);
  const [{ process, instance }] = workers.all as [WorkerProcess];
  const mesh = await meshes.join();
  await mesh.waitFor(Worker);
  const seen: string[] = [];
  mesh.watch(({ type }) => seen.push(type));
  const call = mesh.get(Worker).hold(1_000);
  await began(workers.all, "hold", 1);
  await process.pause();
  await expect(mesh.get(Worker).work(0, { timeout: 300 })).rejects.toMatchObject({
    code: "TIMEOUT",
  });
  await expect.poll(() => seen, { timeout: 14_000, interval: 100 }).toEqual(["left"]);
  await expect(mesh.get(Worker).work(0)).rejects.toMatchObject({ code: "NO_AGENT" });
  process.resume();
  await expect.poll(() => seen, { timeout: 10_000 }).toEqual(["left", "joined"]);
  expect((await mesh.get(Worker).work(0)).instance).toBe(instance);
  expect((await call).instance).toBe(instance);
});
