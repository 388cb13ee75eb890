import { FrameWriter, KINDS, agent, encodePayload, topic } from "@plexus/core";
import { startProxy } from "@plexus/testing";
import { expect, test } from "vitest";
import { z } from "zod";
import { fired, gate, useMeshes } from "../../../test/support/mesh.ts";
import type { Context } from "./context.ts";
import type { HostOptions } from "./host.ts";

const meshes = useMeshes();

const Any = { input: z.unknown(), output: z.unknown() };
const Worker = agent("worker", {
  description: "Does what it is told",
  version: "1.2.3",
  capabilities: { run: { ...Any, description: "runs" }, idle: { ...Any, idempotent: true } },
});
const Done = topic("done", { schema: z.unknown() });

async function pair(run: (input: unknown, context: Context) => unknown, options?: HostOptions) {
  const host = await meshes.join({ name: "host" });
  const hosted = await host.host(Worker, { run, idle: () => "idle" }, options);
  const caller = await meshes.join({ name: "caller" });
  return { host, hosted, caller, worker: caller.get(Worker) };
}

/** A handler that waits for its signal. */
const untilCanceled = (_input: unknown, { signal }: Context): Promise<unknown> => fired(signal);

test("an instance tells its contract and its state", async () => {
  const { hosted, caller, worker } = await pair(() => 1, { concurrency: 7, weight: 2 });
  await worker.run(0);
  const report = await caller.inspect(hosted.info.instance);
  expect(report).toMatchObject({
    agent: "worker",
    instance: hosted.info.instance,
    name: "host",
    version: "1.2.3",
    concurrency: 7,
    weight: 2,
    pid: process.pid,
    running: 0,
    queued: 0,
    draining: false,
    requests: { run: { ok: 1 }, idle: { ok: 0 } },
  });
  expect(report.description).toMatchObject({
    description: "Does what it is told",
    capabilities: { run: { description: "runs" }, idle: { idempotent: true } },
  });
  await expect(caller.inspect("nobody")).rejects.toMatchObject({ code: "NO_AGENT" });
});

test("a drain finishes what has arrived, and what comes later goes elsewhere", async () => {
  const release = gate();
  const { host, hosted, caller, worker } = await pair(
    async () => {
      await release.opened;
      return "old";
    },
    { concurrency: 2 },
  );
  const early = [1, 2, 3, 4].map((n) => worker.run(n)); // two run, two wait
  const report = () => caller.inspect(hosted.info.instance);
  await expect.poll(report).toMatchObject({ running: 2, queued: 2 });
  const draining = hosted.drain();
  await expect.poll(() => caller.agents(Worker)).toEqual([]);
  expect(await report()).toMatchObject({ draining: true, running: 2, queued: 2 });
  await expect(worker.run(5)).rejects.toMatchObject({ code: "NO_AGENT" });
  await host.host(Worker, { run: () => "new", idle: () => 0 });
  await caller.waitFor(Worker);
  expect(await worker.run(6)).toBe("new");
  release.open();
  await draining;
  expect(await Promise.all(early)).toEqual(["old", "old", "old", "old"]);
  await expect(report()).rejects.toMatchObject({ code: "NO_AGENT" });
});

test("draining twice is draining once", async () => {
  const { host, hosted, caller } = await pair(() => 1);
  await Promise.all([hosted.drain(), hosted.drain(), host.close()]);
  await hosted.drain();
  await hosted[Symbol.asyncDispose]();
  await expect.poll(() => caller.agents()).toEqual([]);
});

test("an instance drains on request from elsewhere", async () => {
  const release = gate();
  const { hosted, caller, worker } = await pair(async () => {
    await release.opened;
    return "finished";
  });
  const call = worker.run(0);
  await expect.poll(() => caller.inspect(hosted.info.instance)).toMatchObject({ running: 1 });
  await caller.drain(hosted.info.instance);
  await expect.poll(() => caller.agents(Worker)).toEqual([]);
  release.open();
  expect(await call).toBe("finished");
  await expect(caller.drain("nobody")).rejects.toMatchObject({ code: "NO_AGENT" });
});

test("after the drain timeout handlers are canceled, and those that ignore it are answered", async () => {
  const reasons: unknown[] = [];
  const { hosted, caller, worker } = await pair(
    async (input, { signal }) => {
      void fired(signal).then((reason) => reasons.push(reason));
      if (input === "stubborn") await new Promise(() => undefined);
      await fired(signal);
      return "gave in";
    },
    { concurrency: 2, drainTimeout: 100 },
  );
  const calls = ["stubborn", "willing", "waiting"].map((input) =>
    worker.run(input).catch((error: unknown) => error),
  );
  const report = () => caller.inspect(hosted.info.instance);
  await expect.poll(report).toMatchObject({ running: 2, queued: 1 });
  const started = performance.now();
  await hosted.drain();
  expect(performance.now() - started).toBeLessThan(5_000);
  const outcomes = await Promise.all(calls);
  expect(outcomes.slice(0, 2)).toMatchObject([{ code: "CANCELED" }, { code: "CANCELED" }]);
  expect(outcomes[2]).toMatchObject({ code: "OVERLOADED", retryable: true }); // it has not run
  expect(reasons).toHaveLength(2);
});

test("a call that waits for a slot when the drain timeout strikes runs elsewhere", async () => {
  const { hosted, caller, worker } = await pair(
    async (_input, { signal }) => {
      await fired(signal);
      throw signal.reason;
    },
    { concurrency: 1, drainTimeout: 100 },
  );
  const running = worker.run(1).catch((error: unknown) => error);
  const waiting = worker.run(2);
  await expect.poll(() => caller.inspect(hosted.info.instance)).toMatchObject({ queued: 1 });
  const other = await meshes.join();
  await other.host(Worker, { run: (input) => ["elsewhere", input], idle: () => 0 });
  await caller.waitFor(Worker, { instances: 2 });
  await hosted.drain();
  expect(await running).toMatchObject({ code: "CANCELED" });
  expect(await waiting).toEqual(["elsewhere", 2]);
});

test("closing finishes handlers that still call and publish", async () => {
  const release = gate();
  const began = gate();
  const other = await meshes.join();
  const Helper = agent("helper", { capabilities: { help: Any } });
  await other.host(Helper, { help: () => "helped" });
  const events: unknown[] = [];
  await other.subscribe(Done, (value) => void events.push(value));
  const { host, worker } = await pair(async () => {
    began.open();
    await release.opened;
    const help = await host.get(Helper).help(0);
    await host.publish(Done, help);
    return help;
  });
  await host.waitFor(Helper);
  const call = worker.run(0);
  await began.opened;
  const closing = host.close();
  await expect.poll(() => host.agents(Worker)).toEqual([]);
  await expect(host.host(Worker, { run: () => 0, idle: () => 0 })).rejects.toMatchObject({
    code: "NOT_CONNECTED",
  });
  release.open();
  await closing;
  expect(await call).toBe("helped");
  await expect.poll(() => events).toEqual(["helped"]);
});

test("a caller that vanishes has its handlers canceled", async () => {
  await using proxy = await startProxy({ target: meshes.broker.url });
  const began = gate();
  const { host } = await pair(() => 0);
  const canceled = Promise.withResolvers<unknown>();
  const Slow = agent("slow", { capabilities: { run: Any } });
  await host.host(Slow, {
    run: async (_input, { signal }) => {
      began.open();
      canceled.resolve(await fired(signal));
    },
  });
  const caller = await meshes.join({ servers: proxy.url });
  await caller.waitFor(Slow);
  const call = caller.get(Slow).run(0);
  call.catch(() => undefined);
  await began.opened;
  await proxy.cut();
  expect(await canceled.promise).toMatchObject({ code: "CANCELED" });
  await expect(call).rejects.toMatchObject({ code: "NOT_CONNECTED", retryable: false });
});

test("a host that vanishes is missed over a slow network, too", async () => {
  await using slow = await startProxy({ target: meshes.broker.url });
  await using cut = await startProxy({ target: meshes.broker.url });
  const host = await meshes.join({ servers: cut.url });
  await host.host(Worker, { run: untilCanceled, idle: () => 0 }, { drainTimeout: 100 });
  const caller = await meshes.join({ servers: slow.url });
  await caller.waitFor(Worker);
  slow.delay(200); // an answer of the broker takes longer than the time between two probes
  const call = caller.get(Worker).run(0, { timeout: "15s" });
  const outcome = call.catch((error: unknown) => error);
  await expect.poll(async () => (await host.inspect(caller.agents()[0]!.instance)).running).toBe(1);
  await cut.cut();
  expect(await outcome).toMatchObject({ code: "AGENT_LOST" });
  await Promise.all([host.close(), caller.close()]);
});

test("a handler that is canceled but goes on keeps its slot until it ends", async () => {
  const release = gate();
  const { hosted, caller, worker } = await pair(
    async () => {
      await release.opened;
    },
    { concurrency: 1, queue: 0 },
  );
  await expect(worker.run(0, { timeout: 50 })).rejects.toMatchObject({ code: "TIMEOUT" });
  expect(await caller.inspect(hosted.info.instance)).toMatchObject({ running: 1 });
  await expect(worker.run(1)).rejects.toMatchObject({ code: "OVERLOADED" });
  release.open();
  await expect.poll(() => caller.inspect(hosted.info.instance)).toMatchObject({ running: 0 });
});

test("contracts and options that make no sense are refused, and leave nothing behind", async () => {
  const mesh = await meshes.join();
  const handlers = { run: () => 0, idle: () => 0 };
  const bad: [unknown, unknown, HostOptions][] = [
    [{ name: "worker" }, handlers, {}],
    [Worker, { run: () => 0 }, {}],
    [Worker, handlers, { concurrency: 0 }],
    [Worker, handlers, { concurrency: 1.5 }],
    [Worker, handlers, { weight: 0 }],
    [Worker, handlers, { weight: Number.NaN }],
    [Worker, handlers, { drainTimeout: "soon" as never }],
  ];
  await Promise.all(
    bad.map(([contract, given, options]) =>
      expect(
        mesh.host(contract as typeof Worker, given as typeof handlers, options),
      ).rejects.toMatchObject({ code: "INVALID_CONTRACT" }),
    ),
  );
  expect(mesh.agents()).toEqual([]);
  expect(() => mesh.get({} as typeof Worker)).toThrow(/agent\(\)/);
});

test("one process hosts many agents and many instances of one", async () => {
  const { host, caller } = await pair(() => 0);
  const Other = agent("other", { capabilities: { run: Any } });
  await host.host(Worker, { run: () => 0, idle: () => 0 });
  await host.host(Other, { run: () => "other" });
  await caller.waitFor(Worker, { instances: 2 });
  await caller.waitFor(Other);
  expect(await caller.get(Other).run(0)).toBe("other");
  expect(caller.agents()).toHaveLength(3);
});

test("a call whose caller names no deadline has its capability's timeout", async () => {
  const host = await meshes.join();
  const Patient = agent("patient", {
    capabilities: { wait: { ...Any, timeout: "200ms" } },
  });
  const canceled = Promise.withResolvers<unknown>();
  await host.host(Patient, {
    wait: async (_input, { signal }) => canceled.resolve(await fired(signal)),
  });
  const nats = await meshes.nats();
  const writer = new FrameWriter();
  const request = {
    kind: KINDS.request,
    id: "1",
    sender: "stranger",
    name: "wait",
    sentAt: Date.now() * 1_000,
    payload: encodePayload(0),
  };
  writer.write(request);
  nats.publish(`${meshes.name}.rpc.patient.wait`, writer.take());
  expect(await canceled.promise).toMatchObject({ code: "DEADLINE_EXCEEDED" });
});

test("two requests of one id, whose handlers never end, do not hold up a drain", async () => {
  const host = await meshes.join();
  let began = 0;
  const run = () => {
    began++;
    return new Promise(() => undefined);
  };
  const hosted = await host.host(Worker, { run, idle: () => 0 }, { drainTimeout: 100 });
  const nats = await meshes.nats();
  const writer = new FrameWriter();
  const request = { kind: KINDS.request, id: "1", sender: "stranger", name: "run" };
  const payload = encodePayload(0);
  for (const n of [1, 2]) writer.write({ ...request, sentAt: n, payload });
  nats.publish(`${meshes.name}.rpc.worker.run`, writer.take());
  await expect.poll(() => began).toBe(2);
  await hosted.drain();
});
