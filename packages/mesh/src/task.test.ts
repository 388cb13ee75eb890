import { MeshError, agent } from "@plexus/core";
import { jetstreamManager } from "@nats-io/jetstream";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { fired, gate, metric, upTo, useMeshes } from "../../../test/support/mesh.ts";
import type { TaskContext } from "./context.ts";
import type { TaskEvent } from "./task-events.ts";

const meshes = useMeshes();

const Count = z.object({ n: z.number() });
const quick = { retry: { attempts: 3, first: 5, max: 20 }, ackWait: 600 } as const;
const Desk = agent("desk", {
  capabilities: {
    run: { input: Count, output: z.number(), durable: quick },
    hang: {
      input: Count,
      output: z.number(),
      durable: { ...quick, retry: { attempts: 1 } },
      timeout: 150,
    },
    call: { input: Count, output: z.number() },
  },
});

type Run = (input: { n: number }, context: TaskContext) => number | Promise<number>;

const handlers = (run: Run) => ({ run, hang: () => new Promise<number>(() => {}), call: () => 0 });
const nap = (ms = 2) => new Promise((resolve) => setTimeout(resolve, ms));
const failing = (retryable: boolean) => (): never => {
  throw new MeshError("CONFLICT", "no luck", { retryable });
};

describe("a task", () => {
  test("is executed, and its result recorded once and given to whoever asks", async () => {
    const [host, client, other] = [await meshes.join(), await meshes.join(), await meshes.join()];
    await host.host(
      Desk,
      handlers(({ n }) => n * 2),
    );
    const task = await client.submit(Desk, "run", { n: 21 });
    expect(await task.result()).toBe(42);
    expect(await task.result()).toBe(42);
    expect(await other.task(task.id).result()).toBe(42);
    expect(await other.task(task.id).status()).toMatchObject({
      state: "completed",
      agent: "desk",
      capability: "run",
      attempt: 1,
      client: client.client,
    });
    expect(await metric(host, "plexus_tasks_total", { outcome: "ok" })).toBe(1);
  });

  test("waits for a host that comes later", async () => {
    const client = await meshes.join();
    const task = await client.submit(Desk, "run", { n: 1 });
    expect(await task.status()).toMatchObject({ state: "submitted", attempt: 1 });
    const host = await meshes.join();
    await host.host(
      Desk,
      handlers(({ n }) => n),
    );
    expect(await task.result()).toBe(1);
  });

  test("a thousand of them all come back, with as many at work as there are slots", async () => {
    const [one, two, client] = [await meshes.join(), await meshes.join(), await meshes.join()];
    let running = 0;
    let most = 0;
    const run: Run = async ({ n }) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 1));
      running--;
      return n;
    };
    await one.host(Desk, handlers(run), { taskConcurrency: 7 });
    await two.host(Desk, handlers(run), { taskConcurrency: 5 });
    const tasks = await Promise.all(upTo(1_000).map((n) => client.submit(Desk, "run", { n })));
    expect(await Promise.all(tasks.map((task) => task.result()))).toEqual(upTo(1_000));
    expect(most).toBeLessThanOrEqual(12);
    expect(most).toBeGreaterThan(6);
    expect(await metric(one, "plexus_task_surplus_executions_total")).toBe(0);
  });

  test("that runs longer than the broker waits for a sign of life runs once", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    let executions = 0;
    const run: Run = async ({ n }) => {
      executions++;
      await new Promise((resolve) => setTimeout(resolve, 2_000)); // ackWait is 600 ms
      return n;
    };
    await host.host(Desk, handlers(run));
    expect(await (await client.submit(Desk, "run", { n: 5 })).result()).toBe(5);
    expect(executions).toBe(1);
  });

  test("of high priority is taken first, and one of low priority does not starve", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    const low = await Promise.all(
      upTo(5).map((n) => client.submit(Desk, "run", { n }, { priority: "low" })),
    );
    const high = await Promise.all(
      upTo(100).map((n) => client.submit(Desk, "run", { n: 100 + n }, { priority: "high" })),
    );
    const order: number[] = [];
    const run: Run = async ({ n }) => {
      order.push(n);
      await new Promise((resolve) => setTimeout(resolve, 1));
      return n;
    };
    await host.host(Desk, handlers(run), { taskConcurrency: 1 });
    await Promise.all([...low, ...high].map((task) => task.result()));
    expect(order.slice(0, 20).filter((n) => n >= 100).length).toBeGreaterThan(12);
    expect(Math.max(...upTo(5).map((n) => order.indexOf(n)))).toBeLessThan(95);
  });

  test("is refused at once when its input is wrong or its capability not durable", async () => {
    const client = await meshes.join();
    await expect(client.submit(Desk, "run", { n: "x" as never })).rejects.toMatchObject({
      code: "INVALID_INPUT",
    });
    await expect(client.submit(Desk, "call", { n: 1 })).rejects.toMatchObject({
      code: "INVALID_CONTRACT",
    });
  });

  test("that nobody knows is said to be unknown", async () => {
    const client = await meshes.join();
    await client.submit(Desk, "run", { n: 1 });
    const stranger = client.task("01JZ8Q4M6T3V9K2D5XWBHN7RCE");
    await expect(stranger.status()).rejects.toMatchObject({ code: "NO_TASK" });
    await expect(stranger.result()).rejects.toMatchObject({ code: "NO_TASK" });
    await expect(stranger.cancel()).rejects.toMatchObject({ code: "NO_TASK" });
    expect(() => client.task("x")).toThrow(expect.objectContaining({ code: "NO_TASK" }) as Error);
  });
});

describe("a key", () => {
  test("makes equal submissions one task, also when it has ended long ago", async () => {
    const [host, client, other] = [await meshes.join(), await meshes.join(), await meshes.join()];
    let executions = 0;
    await host.host(
      Desk,
      handlers(({ n }) => ((executions += 1), n)),
    );
    const submitted = await Promise.all(
      upTo(20).map((n) =>
        (n % 2 ? client : other).submit(Desk, "run", { n: 7 }, { key: "order 7" }),
      ),
    );
    expect(new Set(submitted.map(({ id }) => id)).size).toBe(1);
    expect(await Promise.all(submitted.map((task) => task.result()))).toEqual(
      upTo(20).map(() => 7),
    );
    const late = await other.submit(Desk, "run", { n: 8 }, { key: "order 7", priority: "high" });
    expect(await late.result()).toBe(7);
    expect(executions).toBe(1);
    expect(await (await client.submit(Desk, "run", { n: 8 }, { key: "order 8" })).result()).toBe(8);
    const halves = ["\ud800", "\udfff"]; // what is left of an emoji that was cut
    const cut = halves.map((half, n) => client.submit(Desk, "run", { n }, { key: half }));
    expect(await Promise.all(cut.map(async (task) => (await task).result()))).toEqual([0, 1]);
  });
});

describe("a failed attempt", () => {
  test("is repeated when its error is retryable, and its history told", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    await host.host(
      Desk,
      handlers(({ n }, { attempt }) => (attempt < 3 ? failing(true)() : n + attempt)),
    );
    const task = await client.submit(Desk, "run", { n: 10 });
    const seen: TaskEvent[] = [];
    for await (const event of task.events()) seen.push(event);
    expect(seen.map(({ type, attempt }) => `${type} ${attempt}`)).toEqual([
      "started 1",
      "retried 1",
      "started 2",
      "retried 2",
      "started 3",
      "finished 3",
    ]);
    expect(await task.result()).toBe(13);
    expect(await metric(host, "plexus_task_retries_total")).toBe(2);
  });

  test.each([
    ["whose error is not retryable", false, 1],
    ["too many", true, 3],
  ])("%s ends the task; it becomes a dead letter", async (_, retryable, attempts) => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    await host.host(Desk, handlers(failing(retryable)));
    const task = await client.submit(Desk, "run", { n: 1 });
    await expect(task.result()).rejects.toMatchObject({ code: "CONFLICT", message: "no luck" });
    expect(await task.status()).toMatchObject({ state: "failed", attempt: attempts });
    expect(await metric(host, "plexus_task_dead_letters_total", { reason: "CONFLICT" })).toBe(1);
  });

  test("a policy of the submission replaces the contract's", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    let executions = 0;
    await host.host(
      Desk,
      handlers(() => {
        executions++;
        return failing(true)();
      }),
    );
    const task = await client.submit(Desk, "run", { n: 1 }, { retry: { attempts: 5, first: 1 } });
    await expect(task.result()).rejects.toMatchObject({ code: "CONFLICT" });
    expect(executions).toBe(5);
  });
});

describe("time", () => {
  test("a task with a delay is not executed earlier, and its due time is told", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    const begin = Date.now();
    let startedAt = 0;
    await host.host(
      Desk,
      handlers(({ n }) => ((startedAt = Date.now()), n)),
    );
    const task = await client.submit(Desk, "run", { n: 1 }, { delay: "600ms" });
    const status = await task.status();
    expect(status).toMatchObject({ state: "submitted", attempt: 1 });
    expect(Math.abs((status.dueAt ?? 0) - begin - 600)).toBeLessThan(200);
    expect(await task.result()).toBe(1);
    expect(startedAt - begin).toBeGreaterThanOrEqual(595);
    expect(startedAt - begin).toBeLessThan(3_000);
  });

  test("a task whose deadline passes in the queue is rejected, not executed", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    const task = await client.submit(Desk, "run", { n: 1 }, { deadline: "50ms" });
    await new Promise((resolve) => setTimeout(resolve, 80));
    let executions = 0;
    await host.host(
      Desk,
      handlers(() => ++executions),
    );
    await expect(task.result()).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(await task.status()).toMatchObject({ state: "rejected" });
    expect(executions).toBe(0);
  });

  test("a handler that never ends is given up when the contract's timeout has passed", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    await host.host(
      Desk,
      handlers(({ n }) => n),
    );
    const task = await client.submit(Desk, "hang", { n: 1 });
    await expect(task.result({ timeout: "5s" })).rejects.toMatchObject({ code: "TIMEOUT" });
    expect(await task.status()).toMatchObject({ state: "failed" });
  });

  test("a handler that runs when the deadline passes is told to stop, and the task has failed", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    const reason = Promise.withResolvers<unknown>();
    let executions = 0;
    const run: Run = async ({ n }, context) => {
      executions++;
      reason.resolve(await fired(context.signal));
      return n;
    };
    await host.host(Desk, handlers(run));
    const task = await client.submit(Desk, "run", { n: 1 }, { deadline: "150ms" });
    await expect(task.result()).rejects.toMatchObject({ code: "TIMEOUT" });
    expect(await reason.promise).toMatchObject({ code: "TIMEOUT" });
    expect(await task.status()).toMatchObject({ state: "failed", attempt: 1 });
    expect(executions).toBe(1);
    expect(await client.deadLetters.get(task.id)).toMatchObject({ reason: "TIMEOUT" });
  });

  test("an attempt that would be due after the deadline is not waited for", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    await host.host(Desk, handlers(failing(true)));
    const retry = { attempts: 100, first: "1h", max: "1h" } as const; // drawn at random below that: after the deadline
    const began = Date.now();
    const task = await client.submit(Desk, "run", { n: 1 }, { deadline: "1s", retry });
    await expect(task.result()).rejects.toMatchObject({ code: "CONFLICT" });
    expect(Date.now() - began).toBeLessThan(2_500); // the broker looks at schedules once a second
  });

  test("waiting ends by itself, the task goes on", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    const end = gate();
    await host.host(
      Desk,
      handlers(async ({ n }) => (await end.opened, n)),
    );
    const task = await client.submit(Desk, "run", { n: 4 });
    const waits = upTo(10).map((n) => task.result({ timeout: 30 + n }).catch(String));
    expect(await Promise.all(waits)).toEqual(
      upTo(10).map(
        (n) => `MeshError: Task ${task.id} has not ended within ${30 + n} ms; it goes on.`,
      ),
    );
    await expect(task.result({ signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: "CANCELED",
    });
    end.open();
    expect(await task.result()).toBe(4);
  });
});

describe("cancel", () => {
  test("reaches the running handler, and nothing else is recorded", async () => {
    const [host, client, other] = [await meshes.join(), await meshes.join(), await meshes.join()];
    const running = gate();
    const reason = Promise.withResolvers<unknown>();
    const run: Run = async ({ n }, context) => {
      running.open();
      reason.resolve(await fired(context.signal));
      return n;
    };
    await host.host(Desk, handlers(run));
    const task = await client.submit(Desk, "run", { n: 1 });
    await running.opened;
    expect(await other.task(task.id).status()).toMatchObject({ state: "working", attempt: 1 });
    expect(await other.task(task.id).cancel()).toBe(true);
    expect(await reason.promise).toMatchObject({ code: "CANCELED" });
    await expect(task.result()).rejects.toMatchObject({ code: "CANCELED" });
    expect(await task.status()).toMatchObject({ state: "canceled" });
    expect(await task.cancel()).toBe(false);
  });

  test("takes a waiting or delayed task off the queue", async () => {
    const client = await meshes.join();
    const waiting = await client.submit(Desk, "run", { n: 1 });
    const delayed = await client.submit(Desk, "run", { n: 2 }, { delay: "300ms" });
    expect([await waiting.cancel(), await delayed.cancel()]).toEqual([true, true]);
    let executions = 0;
    const host = await meshes.join();
    await host.host(
      Desk,
      handlers(() => ++executions),
    );
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(executions).toBe(0);
    await expect(delayed.result()).rejects.toMatchObject({ code: "CANCELED" });
  });
});

describe("progress and effects", () => {
  test("progress reaches whoever watches, in any process", async () => {
    const [host, client, other] = [await meshes.join(), await meshes.join(), await meshes.join()];
    const go = gate();
    const run: Run = async ({ n }, context) => {
      await go.opened;
      context.progress(0.5, "half");
      context.progress(1);
      return n;
    };
    await host.host(Desk, handlers(run));
    const task = await client.submit(Desk, "run", { n: 1 });
    const seen: TaskEvent[] = [];
    const watching = (async () => {
      for await (const event of other.task(task.id).events()) seen.push(event);
    })();
    await expect.poll(() => other.task(task.id).status()).toMatchObject({ state: "working" });
    go.open();
    await watching;
    expect(seen.slice(-3)).toMatchObject([
      { type: "progress", fraction: 0.5, note: "half" },
      { type: "progress", fraction: 1 },
      { type: "finished", state: "completed" },
    ]);
  });

  test("an effect whose result was recorded is not repeated by a later attempt", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    const charged: string[] = [];
    const run: Run = async ({ n }, context) => {
      const receipt = await context.effect("charge", (key) => {
        charged.push(key);
        return { n, receipt: charged.length };
      });
      if (context.attempt < 3) throw new MeshError("CONFLICT", "again", { retryable: true });
      return receipt.receipt;
    };
    await host.host(Desk, handlers(run));
    const task = await client.submit(Desk, "run", { n: 9 });
    expect(await task.result()).toBe(1);
    expect(charged).toEqual([`${task.id}:charge`]);
  });

  test("a direct call of a durable capability is a first and only attempt", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    await host.host(
      Desk,
      handlers(async ({ n }, context) => {
        context.progress(0.5);
        return n + context.attempt + (await context.effect("add", () => 10));
      }),
    );
    expect(await client.get(Desk).run({ n: 1 })).toBe(12);
  });
});

describe("tenants", () => {
  const Shared = agent("shared", {
    capabilities: {
      run: { input: Count, output: z.number(), durable: { tenantConcurrency: 3 } },
      free: { input: Count, output: z.number(), durable: true },
    },
  });
  test("the many tasks of one do not delay the few of another", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    const order: string[] = [];
    const work = async ({ n }: { n: number }) => {
      order.push(n < 0 ? "quiet" : "noisy");
      await nap();
      return n;
    };
    await host.host(Shared, { run: work, free: work }, { taskConcurrency: 8 });
    const noisy = await Promise.all(
      upTo(1_000).map((n) => client.submit(Shared, "free", { n }, { tenant: "noisy one" })),
    );
    const ahead = order.length;
    const quiet = await Promise.all(
      upTo(10).map((n) => client.submit(Shared, "free", { n: -n - 1 }, { tenant: "quiet" })),
    );
    await Promise.all(quiet.map((task) => task.result()));
    const last = order.lastIndexOf("quiet");
    expect(order.slice(ahead, last).filter((who) => who === "noisy").length).toBeLessThan(300);
    await Promise.all(noisy.map((task) => task.result()));
  });

  test("no more than a tenant's share is worked on at a time, in the whole mesh", async () => {
    const [one, two, client] = [await meshes.join(), await meshes.join(), await meshes.join()];
    let running = 0;
    let most = 0;
    const work = async ({ n }: { n: number }) => {
      most = Math.max(most, ++running);
      await nap(20); // time enough for a third to be fetched
      running--;
      return n;
    };
    await one.host(Shared, { run: work, free: work }, { taskConcurrency: 10 });
    await two.host(Shared, { run: work, free: work }, { taskConcurrency: 10 });
    const tasks = await Promise.all(
      upTo(60).map((n) => client.submit(Shared, "run", { n }, { tenant: "acme" })),
    );
    expect(await Promise.all(tasks.map((task) => task.result()))).toEqual(upTo(60));
    expect(most).toBe(3);
  });

  test("a consumer that somebody deleted is made again", async () => {
    const [host, client, nats] = [await meshes.join(), await meshes.join(), await meshes.nats()];
    await host.host(
      Desk,
      handlers(({ n }) => n),
    );
    expect(await (await client.submit(Desk, "run", { n: 1 })).result()).toBe(1);
    const manager = await jetstreamManager(nats);
    for await (const { name } of manager.consumers.list(`${meshes.name}-tasks`)) {
      await manager.consumers.delete(`${meshes.name}-tasks`, name);
    }
    expect(await (await client.submit(Desk, "run", { n: 2 })).result()).toBe(2);
  });
});

describe("leaving", () => {
  test("a host that drains finishes what it has and takes nothing more", async () => {
    const [one, two, client] = [await meshes.join(), await meshes.join(), await meshes.join()];
    let executions = 0;
    const run: Run = async ({ n }) => {
      executions++;
      await new Promise((resolve) => setTimeout(resolve, 5));
      return n;
    };
    const leaving = await one.host(Desk, handlers(run), { taskConcurrency: 4 });
    const tasks = await Promise.all(upTo(200).map((n) => client.submit(Desk, "run", { n })));
    await two.host(Desk, handlers(run), { taskConcurrency: 4 });
    await leaving.drain();
    expect(await Promise.all(tasks.map((task) => task.result()))).toEqual(upTo(200));
    expect(executions).toBe(200);
  });

  test("a handler that outlasts the drain is canceled, and its task executed elsewhere", async () => {
    const [one, client] = [await meshes.join(), await meshes.join()];
    const started = gate();
    const stuck = await one.host(
      Desk,
      handlers((_input, context) => {
        started.open();
        return fired(context.signal).then(() => -1);
      }),
      { drainTimeout: 100 },
    );
    const task = await client.submit(Desk, "run", { n: 3 });
    await started.opened;
    await stuck.drain();
    const two = await meshes.join();
    await two.host(
      Desk,
      handlers(({ n }) => n),
    );
    expect(await task.result()).toBe(3);
  });
});
