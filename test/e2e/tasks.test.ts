import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@plexus/mesh";
import { startCluster, type NodeProcess } from "@plexus/testing";
import { expect, test } from "vitest";
import { inTurn, meshName, silent, upTo, useMeshes } from "../support/mesh.ts";
import { startAgent } from "../support/workers.ts";
import { Porter } from "./agents/contracts.ts";

const meshes = useMeshes();

/** A porter process, and the address of its metrics. */
async function startPorter(): Promise<NodeProcess & { http: string }> {
  const porter = startAgent(meshes, "porter");
  const ready = await porter.waitForLine(/^ready /, 30_000);
  return Object.assign(porter, { http: ready.slice("ready ".length) });
}

test("a task whose host is killed is executed by another as soon as its silence is noticed", async () => {
  await using victim = await startPorter();
  const mesh = await meshes.join();
  const task = await mesh.submit(Porter, "carry", 4_000);
  await victim.waitForLine(`began ${task.id}`);
  await using survivor = await startPorter();
  const seen = collect(mesh.task(task.id).events());
  const killed = performance.now();
  await victim.kill();
  await survivor.waitForLine(`began ${task.id}`);
  expect(performance.now() - killed).toBeLessThan(600 + 1_000); // ackWait, and what it takes to notice
  expect(await task.result()).toBe(survivor.pid);
  expect((await seen).map(({ type }) => type)).toEqual(["reassigned", "finished"]);
  expect(await (await fetch(`${survivor.http}/metrics`)).text()).toMatch(
    /plexus_task_reassignments_total\{.*capability="carry".*\} 1/,
  );
  expect(await task.status()).toMatchObject({ state: "completed", attempt: 1 });
});

test("a host that hangs loses its task; when it goes on, its result comes too late and is counted", async () => {
  await using hung = await startPorter();
  const mesh = await meshes.join();
  const task = await mesh.submit(Porter, "carry", 700);
  await hung.waitForLine(`began ${task.id}`);
  await hung.pause();
  await using other = await startPorter();
  expect(await task.result()).toBe(other.pid);
  hung.resume();
  const surplus = async (): Promise<string> => (await fetch(`${hung.http}/metrics`)).text();
  await expect
    .poll(surplus, { timeout: 10_000 })
    .toMatch(/plexus_task_surplus_executions_total\{.*capability="carry".*\} 1/);
  expect(await task.result()).toBe(other.pid);
  expect(await mesh.task(task.id).result()).toBe(other.pid);
});

test("tasks placed on an instance that is killed are taken by the others within three seconds", async () => {
  await using victim = await startPorter();
  const mesh = await meshes.join();
  await mesh.waitFor(Porter);
  const options = { placement: "leastOutstanding" } as const;
  const tasks = await Promise.all(upTo(24).map(() => mesh.submit(Porter, "carry", 1_000, options)));
  await victim.waitForLine(`began ${tasks[0]!.id}`);
  await using survivor = await startPorter(); // may take so long that some have ended by then
  await victim.kill();
  const killed = performance.now();
  await survivor.waitForLine(/^began /);
  expect(performance.now() - killed).toBeLessThan(3_000);
  const pids = await Promise.all(tasks.map((task) => task.result()));
  expect(pids).toEqual(pids.map((pid) => (pid === victim.pid ? pid : survivor.pid)));
  expect(pids.at(-1)).toBe(survivor.pid);
}, 60_000);

test("tasks placed on an instance that hangs are taken by the others, and left to it once it is back", async () => {
  await using hung = await startPorter();
  const [mesh, onlooker] = [await meshes.join(), await meshes.join()];
  await mesh.waitFor(Porter);
  await hung.pause();
  const options = { placement: "leastOutstanding" } as const;
  const tasks = await Promise.all(upTo(12).map(() => mesh.submit(Porter, "carry", 20, options)));
  await using other = await startPorter(); // the tasks are on the lane of the one that hangs
  const pids = await Promise.all(tasks.map((task) => task.result()));
  expect(pids).toEqual(upTo(12).map(() => other.pid));
  expect(onlooker.agents().map(({ pid }) => pid)).toContain(hung.pid); // its record lasts for 10 s
  hung.resume();
  await mesh.waitFor(Porter, { instances: 2 });
  const shareOfHung = async (): Promise<number> => {
    const placed = { placement: "roundRobin" } as const;
    const again = await Promise.all(upTo(20).map(() => mesh.submit(Porter, "carry", 20, placed)));
    const back = await Promise.all(again.map((task) => task.result()));
    return back.filter((pid) => pid === hung.pid).length;
  };
  await expect.poll(shareOfHung, { timeout: 10_000 }).toBe(10);
}, 90_000);

test("a task that kills every host is given up, with the reason", async () => {
  const mesh = await meshes.join();
  const task = await mesh.submit(Porter, "poison", 1);
  const failure = task.result().catch((error: unknown) => error);
  await inTurn([1, 2], async () => {
    await using victim = await startPorter();
    await victim.exited;
  });
  await using survivor = await startPorter();
  expect(await failure).toMatchObject({ code: "AGENT_LOST" });
  expect(survivor.stderr()).toBe("");
  expect(await task.status()).toMatchObject({ state: "failed" });
});

test.each(["SIGKILL", "SIGTERM"] as const)(
  "queued, delayed, running and keyed tasks outlive a broker that ends by %s",
  async (signal) => {
    await using porter = await startPorter();
    const mesh = await meshes.join();
    const done = await mesh.submit(Porter, "carry", 0, { key: "done" });
    await done.result();
    const running = await mesh.submit(Porter, "carry", 1_500);
    await porter.waitForLine(`began ${running.id}`);
    const delayed = await mesh.submit(Porter, "carry", 0, { delay: "2s" });
    const queued = await Promise.all(upTo(50).map(() => mesh.submit(Porter, "carry", 20)));
    const results = Promise.all([running, delayed, ...queued].map((task) => task.result()));
    const restarted = meshes.broker.restart({ signal, downMs: 300 });
    const during = mesh.submit(Porter, "carry", 0); // waits for the broker
    await restarted;
    expect(await results).toEqual(upTo(52).map(() => porter.pid));
    expect(await (await during).result()).toBe(porter.pid);
    const again = await mesh.submit(Porter, "carry", 0, { key: "done" });
    expect(again.id).toBe(done.id);
    expect(await again.result()).toBe(porter.pid);
    const executions = (await fetch(`${porter.http}/metrics`)).text();
    expect(await executions).toMatch(/plexus_tasks_total\{.*outcome="ok"\} 54/);
  },
  90_000,
);

test("tasks outlive each broker of a cluster", async () => {
  await using cluster = await startCluster();
  await using stack = new AsyncDisposableStack();
  const mesh = meshName();
  const join = async () =>
    stack.use(await connect({ servers: cluster.urls, mesh, http: false, log: silent }));
  const [host, client] = [await join(), await join()];
  const handlers = {
    carry: async (ms: number) => (await sleep(ms), ms),
    poison: () => 0,
  };
  await host.host(Porter, handlers, { taskConcurrency: 16 });
  const submitted = async () => {
    const task = await client.submit(Porter, "carry", 5, { timeout: "60s" });
    return task.result({ timeout: "60s" });
  };
  await Promise.all(upTo(20).map(submitted));
  const leader = await cluster.ready();
  const under = Promise.all(upTo(200).map(submitted));
  await leader.kill();
  expect(await under).toEqual(upTo(200).map(() => 5));
  await leader.restart();
}, 120_000);

/** Everything that a generator gives. */
async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
