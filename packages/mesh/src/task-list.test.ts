import { jetstreamManager } from "@nats-io/jetstream";
import { MeshError, agent } from "@plexus/core";
import { expect, test } from "vitest";
import { z } from "zod";
import { gate, inTurn, upTo, useMeshes } from "../../../test/support/mesh.ts";

const meshes = useMeshes();

const Desk = agent("desk", {
  capabilities: { run: { input: z.number(), output: z.number(), durable: true } },
});
const Other = agent("other", {
  capabilities: { run: { input: z.number(), output: z.number(), durable: true } },
});

test("tasks are listed with where they stand, those that changed last at the end", async () => {
  const [host, client] = [await meshes.join(), await meshes.join()];
  const end = gate();
  const handlers = {
    run: async (n: number, context: { progress(fraction: number, note: string): void }) => {
      if (n === 2) throw new MeshError("AGENT_FAILED", "two");
      context.progress(0.5, "half");
      if (n === 3) await end.opened;
      return n;
    },
  };
  await host.host(Desk, handlers);
  const ids: string[] = [];
  await inTurn(upTo(4), async (n) => {
    const task = await client.submit(Desk, "run", n);
    ids.push(task.id);
    if (n < 3) await task.result().catch(() => undefined);
  });
  const due = await client.submit(Desk, "run", 4, { delay: "1h" });
  const waiting = await client.submit(Other, "run", 5);
  await waiting.cancel();
  const queued = await client.submit(Other, "run", 6);

  await expect
    .poll(() => client.listTasks({ state: "working" }))
    .toMatchObject([
      { id: ids[3], state: "working", attempt: 1, progress: 0.5, note: "half", agent: "desk" },
    ]);
  expect(await client.listTasks()).toMatchObject([
    { id: ids[0], state: "completed", agent: "desk", capability: "run" },
    { id: ids[1], state: "completed" },
    { id: ids[2], state: "failed", error: { code: "AGENT_FAILED", message: "two" } },
    { id: ids[3], state: "working", client: client.client },
    { id: due.id, state: "submitted", dueAt: expect.any(Number) as number },
    { id: waiting.id, state: "canceled" },
    { id: queued.id, state: "submitted", agent: "other" },
  ]);
  const listed = async (options: object): Promise<string[]> =>
    (await client.listTasks(options)).map(({ id }) => id);
  expect(await listed({ agent: "other" })).toEqual([waiting.id, queued.id]);
  expect(await listed({ limit: 2 })).toEqual([waiting.id, queued.id]);
  expect(await listed({ state: "submitted" })).toEqual([due.id, queued.id]);
  expect(await listed({ state: "completed", limit: 1 })).toEqual([ids[1]]);
  expect(await listed({ agent: "desk", capability: "nothing" })).toEqual([]);
  await expect(listed({ state: "lost" })).rejects.toMatchObject({ code: "INVALID_INPUT" });
  end.open();
  expect(await client.task(ids[3]!).result()).toBe(3);
  expect(await listed({ state: "working" })).toEqual([]);
});

test("whoever executes a task submitted by name checks its input", async () => {
  const [host, client] = [await meshes.join(), await meshes.join()];
  await host.host(Desk, { run: (n) => n + 1 });
  expect(await (await client.submitByName("desk", "run", 1)).result()).toBe(2);
  const wrong = await client.submitByName("desk", "run", "one");
  await expect(wrong.result()).rejects.toMatchObject({ code: "INVALID_INPUT" });
  const unknown = await client.submitByName("desk", "nothing", 1);
  expect(await unknown.status()).toMatchObject({ state: "submitted", capability: "nothing" });
});

test("a task submitted by name leaves its tenant's queue as the contract made it", async () => {
  const [host, client, stranger] = [await meshes.join(), await meshes.join(), await meshes.join()];
  const Slow = agent("slow", {
    capabilities: {
      run: {
        input: z.number(),
        output: z.number(),
        durable: { ackWait: "20s", tenantConcurrency: 1 },
      },
    },
  });
  await host.host(Slow, { run: (n) => n });
  const options = { tenant: "acme" };
  await expect(stranger.submitByName("slow", "run", 1, options)).rejects.toMatchObject({
    code: "INVALID_INPUT",
  });
  expect(await (await client.submit(Slow, "run", 1, options)).result()).toBe(1);
  expect(await (await stranger.submitByName("slow", "run", 2, options)).result()).toBe(2);
  const manager = await jetstreamManager(await meshes.nats());
  const { config } = await manager.consumers.info(`${meshes.name}-tasks`, "slow~run~normal~acme");
  expect(config).toMatchObject({ ack_wait: 18e9, max_ack_pending: 1 }); // 0.9 of what it says
});
