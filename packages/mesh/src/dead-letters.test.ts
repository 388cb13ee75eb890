import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { MeshError, agent } from "@plexus/core";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { inTurn, upTo, useMeshes } from "../../../test/support/mesh.ts";
import type { TaskContext } from "./context.ts";
import type { Mesh } from "./mesh.ts";

const meshes = useMeshes();

const Count = z.object({ n: z.number() });
const quick = { retry: { attempts: 2, first: 1, max: 2 } } as const;
const Desk = agent("desk", {
  capabilities: {
    run: { input: Count, output: z.number(), durable: quick },
    file: { input: Count, output: z.number(), durable: quick },
  },
});

type Run = (input: { n: number }, context: TaskContext) => number | Promise<number>;

const unknown = "01JZ8Q4M6T3V9K2D5XWBHN7RCE";
const handlers = (run: Run) => ({ run, file: run });
const failing = (): never => {
  throw new MeshError("CONFLICT", "no luck", { retryable: true });
};

/** A client and a dead letter: a task that nobody who is still there has tried. */
async function withLetter(n = 1): Promise<{ client: Mesh; id: string }> {
  const [host, client] = [await meshes.join(), await meshes.join()];
  const hosted = await host.host(Desk, handlers(failing));
  const { id } = await bury(client, n);
  await hosted.drain();
  return { client, id };
}

/** Submits a task and waits until it has failed. */
async function bury(
  client: Mesh,
  n: number,
  name: "run" | "file" = "run",
): Promise<{ id: string }> {
  const task = await client.submit(Desk, name, { n });
  await expect(task.result()).rejects.toBeInstanceOf(MeshError);
  return task;
}

/** The streams of the test's mesh, for states that only a process which dies leaves behind. */
async function streams() {
  const nats = await meshes.nats();
  const manager = await jetstreamManager(nats);
  const subject = (id: string): string => `${meshes.name}.dead.desk.run.${id}`;
  const dead = `${meshes.name}-dead`;
  return {
    putAside: async (id: string): Promise<void> => {
      const letter = await manager.streams.getMessage(dead, { last_by_subj: subject(id) });
      const { data, header: headers } = letter!;
      await jetstream(nats).publish(`${subject(id)}.another`, data, { headers });
    },
    removeLetter: (id: string) => manager.streams.purge(dead, { filter: subject(id) }),
    removeResult: (id: string) =>
      manager.streams.purge(`${meshes.name}-results`, { filter: `${meshes.name}.done.${id}` }),
    names: async () => {
      const names: string[] = [];
      for await (const name of manager.streams.names()) names.push(name);
      return names.filter((name) => name.startsWith(meshes.name));
    },
  };
}

test("a retried task keeps the retry policy that it was submitted with", async () => {
  const [host, client] = [await meshes.join(), await meshes.join()];
  let executions = 0;
  await host.host(
    Desk,
    handlers(() => {
      executions++;
      return failing();
    }),
  );
  const retry = { attempts: 3, first: 1, max: 2 };
  const task = await client.submit(Desk, "run", { n: 1 }, { retry });
  await expect(task.result()).rejects.toMatchObject({ code: "CONFLICT" });
  expect(executions).toBe(3);
  const again = await client.deadLetters.retry(task.id);
  await expect(again.result()).rejects.toMatchObject({ code: "CONFLICT" });
  expect(executions).toBe(6); // the contract says two attempts
});

describe("dead letters", () => {
  test("tell why and after what a task was given up, and with which input", async () => {
    const { client, id } = await withLetter(42);
    const letter = await client.deadLetters.get(id);
    expect(letter).toMatchObject({
      id,
      agent: "desk",
      capability: "run",
      reason: "CONFLICT",
      message: "no luck",
      attempts: 2,
      history: [
        { attempt: 1, code: "CONFLICT", message: "no luck" },
        { attempt: 2, code: "CONFLICT" },
      ],
      readable: true,
      input: { n: 42 },
      priority: "normal",
      tenant: "default",
      client: client.client,
      subject: `${meshes.name}.task.desk.run.normal.default.${id}`,
    });
    expect(Math.abs(letter.at - Date.now())).toBeLessThan(30_000);
  });

  test("are listed newest last, by agent and capability, a bounded number", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    await host.host(Desk, handlers(failing));
    const ids: string[] = [];
    await inTurn(upTo(6), async (n) =>
      ids.push((await bury(client, n, n % 2 ? "file" : "run")).id),
    );
    const listed = async (options: object): Promise<string[]> =>
      (await client.deadLetters.list(options)).map(({ id }) => id);
    expect(await listed({})).toEqual(ids);
    expect(await listed({ limit: 2 })).toEqual(ids.slice(-2));
    expect(await listed({ capability: "file", limit: 2 })).toEqual([ids[3], ids[5]]);
    expect(await listed({ agent: "desk", capability: "run" })).toEqual([ids[0], ids[2], ids[4]]);
    expect(await listed({ agent: "nobody" })).toEqual([]);
    await expect(client.deadLetters.list({ limit: 0 })).rejects.toMatchObject({
      code: "INVALID_INPUT",
    });
    await expect(client.deadLetters.list({ signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: "CANCELED",
    });
  });

  test("the newest of very many are found without the others", async () => {
    const { client, id } = await withLetter();
    const nats = await meshes.nats();
    const subject = (n: number): string =>
      `${meshes.name}.dead.other.run.${String(n).padStart(26, "0")}`;
    await inTurn(upTo(5), async (round) => {
      const js = jetstream(nats);
      await Promise.all(upTo(1_000).map((n) => js.publish(subject(round * 1_000 + n), "x")));
    });
    expect(await client.deadLetters.list({ agent: "desk" })).toMatchObject([{ id }]);
    const newest = await client.deadLetters.list({ agent: "other", limit: 1_500 });
    expect(newest.map((letter) => Number(letter.id))).toEqual(upTo(1_500).map((n) => 3_500 + n));
  });

  test("looking for them changes nothing, also where nothing was ever submitted", async () => {
    const client = await meshes.join();
    expect(await client.deadLetters.list()).toEqual([]);
    expect(await client.listTasks()).toEqual([]);
    const { deadLetters } = client;
    await inTurn([unknown, "x", "*", ">"], async (id) => {
      await expect(deadLetters.get(id)).rejects.toMatchObject({ code: "NO_TASK" });
      await expect(deadLetters.retry(id)).rejects.toMatchObject({ code: "NO_TASK" });
      await expect(deadLetters.discard(id)).rejects.toMatchObject({ code: "NO_TASK" });
    });
    expect(await (await streams()).names()).toEqual([]);
  });

  test("are gone when discarded; that the task has failed is still known", async () => {
    const { client, id } = await withLetter();
    await client.deadLetters.discard(id);
    await expect(client.deadLetters.get(id)).rejects.toMatchObject({ code: "NO_TASK" });
    await expect(client.deadLetters.discard(id)).rejects.toMatchObject({ code: "NO_TASK" });
    expect(await client.task(id).status()).toMatchObject({ state: "failed" });
  });

  test("what nobody can read is kept as it came", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    await host.host(
      Desk,
      handlers(({ n }) => n),
    );
    const nats = await meshes.nats();
    await jetstream(nats).publish(
      `${meshes.name}.task.desk.run.high.default.${unknown}`,
      "garbage",
    );
    await expect.poll(() => client.deadLetters.list()).toMatchObject([{ id: unknown }]);
    const letter = await client.deadLetters.get(unknown);
    expect(letter).toMatchObject({
      readable: false,
      reason: "BAD_MESSAGE",
      priority: "high",
      tenant: "default",
    });
    expect(Buffer.from(letter.data).toString()).toBe("garbage");
    await expect.poll(() => client.task(unknown).status()).toMatchObject({ state: "failed" });
    await client.deadLetters.retry(unknown);
    await expect.poll(() => client.deadLetters.list()).toMatchObject([{ id: unknown }]);
  });
});

describe("a retry", () => {
  test("executes the task again from its first attempt on, and its result is the one that counts", async () => {
    const { client, id } = await withLetter(20);
    const host = await meshes.join();
    await host.host(
      Desk,
      handlers(({ n }, { attempt }) => n + attempt),
    );
    const task = await client.deadLetters.retry(id);
    expect(await task.result()).toBe(21);
    expect(await client.task(id).status()).toMatchObject({ state: "completed", attempt: 1 });
    expect(await client.deadLetters.list()).toEqual([]);
  });

  test("does not repeat effects that were recorded", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    const charged: string[] = [];
    let mended = false;
    const run: Run = async (_input, context) => {
      const receipt = await context.effect("charge", (key) => charged.push(key));
      return mended ? receipt : failing();
    };
    await host.host(Desk, handlers(run));
    const { id } = await bury(client, 1);
    mended = true;
    expect(await (await client.deadLetters.retry(id)).result()).toBe(1);
    expect(charged).toEqual([`${id}:charge`]);
  });

  test("that fails again leaves a dead letter again, however fast it fails", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    let executions = 0;
    const fail: Run = () => {
      executions++;
      throw new MeshError("AGENT_FAILED", `failure ${executions}`);
    };
    await host.host(Desk, handlers(fail));
    const { id } = await bury(client, 1);
    await inTurn(upTo(50), async (n) => {
      const message = `failure ${n + 2}`;
      const task = await client.deadLetters.retry(id);
      await expect(task.result()).rejects.toMatchObject({ message });
      expect(await client.deadLetters.list()).toMatchObject([{ id, message }]);
    });
    expect(executions).toBe(51);
    expect(await client.deadLetters.get(id)).toMatchObject({
      attempts: 1,
      history: [{ attempt: 1 }],
    });
  });

  test("by many at once executes the task once", async () => {
    const { client, id } = await withLetter(3);
    const [host, ...others] = await Promise.all(upTo(6).map(() => meshes.join()));
    let executions = 0;
    await host!.host(
      Desk,
      handlers(({ n }) => ((executions += 1), n)),
    );
    const retries = await Promise.allSettled(
      [client, ...others].map((mesh) => mesh.deadLetters.retry(id)),
    );
    expect(retries.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect(await client.task(id).result()).toBe(3);
    await expect.poll(() => client.deadLetters.list()).toEqual([]);
    await expect.poll(() => client.listTasks({ state: "submitted" })).toEqual([]);
    expect(executions).toBe(1);
  });

  test.each([
    ["the letter was copied", 1],
    ["the letter was removed", 2],
    ["the failed result was removed", 3],
  ])("that was broken off after %s is taken up again", async (_, steps) => {
    const { client, id } = await withLetter(5);
    const { putAside, removeLetter, removeResult } = await streams();
    await putAside(id);
    if (steps > 1) await removeLetter(id);
    if (steps > 2) await removeResult(id);
    expect(await client.deadLetters.list()).toMatchObject([
      { id, reason: "CONFLICT", attempts: 2 },
    ]);
    let executions = 0;
    const host = await meshes.join();
    await host.host(
      Desk,
      handlers(({ n }) => ((executions += 1), n)),
    );
    expect(await (await client.deadLetters.retry(id)).result()).toBe(5);
    expect(executions).toBe(1);
    expect(await client.deadLetters.list()).toEqual([]);
  });

  test("that was broken off when the task was queued is refused, also when the task has succeeded", async () => {
    const { client, id } = await withLetter(5);
    await (await streams()).putAside(id);
    await (await streams()).removeLetter(id);
    await (await streams()).removeResult(id);
    await client.submitByName("desk", "run", { n: 5 }); // another one must not be mistaken for it
    const letter = await client.deadLetters.get(id);
    const nats = await meshes.nats();
    await jetstream(nats).publish(letter.subject, letter.data);
    await expect(client.deadLetters.retry(id)).rejects.toMatchObject({
      code: "CONFLICT",
      retryable: false,
    });
    let executions = 0;
    const host = await meshes.join();
    await host.host(
      Desk,
      handlers(({ n }) => ((executions += 1), n)),
    );
    expect(await client.task(id).result()).toBe(5);
    await expect(client.deadLetters.retry(id)).rejects.toMatchObject({
      code: "CONFLICT",
      retryable: false,
    });
    expect(await client.deadLetters.list()).toEqual([]);
    await expect.poll(() => executions).toBe(2);
    expect(await client.task(id).result()).toBe(5);
  });

  test("of a task that was placed on an instance goes to all of them", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    const hosted = await host.host(Desk, handlers(failing));
    await client.waitFor(Desk);
    const { id } = await client.submit(Desk, "run", { n: 6 }, { placement: "leastOutstanding" });
    await expect(client.task(id).result()).rejects.toMatchObject({ code: "CONFLICT" });
    await hosted.drain();
    expect(await client.deadLetters.get(id)).toMatchObject({ tenant: "default", input: { n: 6 } });
    await host.host(
      Desk,
      handlers(({ n }) => n),
    );
    expect(await (await client.deadLetters.retry(id)).result({ timeout: "10s" })).toBe(6);
  });

  test("ignores a deadline that has passed, and keeps the task's priority and tenant", async () => {
    const client = await meshes.join();
    const options = { deadline: 30, priority: "low", tenant: "a b" } as const;
    const { id } = await client.submit(Desk, "run", { n: 8 }, options);
    await new Promise((resolve) => setTimeout(resolve, 60));
    const host = await meshes.join();
    await host.host(
      Desk,
      handlers(({ n }) => n),
    );
    await expect(client.task(id).result()).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(await client.deadLetters.get(id)).toMatchObject({ priority: "low", tenant: "a b" });
    expect(await (await client.deadLetters.retry(id)).result()).toBe(8);
  });
});
