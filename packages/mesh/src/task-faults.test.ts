import { FrameWriter, KINDS, MeshError, agent, encodePayload } from "@plexus/core";
import { jetstreamManager } from "@nats-io/jetstream";
import { startProxy, type Proxy } from "@plexus/testing";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { gate, inTurn, metric, upTo, useMeshes } from "../../../test/support/mesh.ts";
import type { Mesh } from "./mesh.ts";

const meshes = useMeshes();

const quick = { retry: { attempts: 3, first: 5, max: 20 }, ackWait: 600 } as const;
const Desk = agent("desk", {
  capabilities: { run: { input: z.string(), output: z.unknown(), durable: quick } },
});

describe("what hardly fits the broker", () => {
  const LIMIT = 1_048_576; // the broker's max_payload

  test("an input that leaves no room for the headers of a retry is refused; all others are tried again", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    let executions = 0;
    await host.host(Desk, {
      run: () => {
        executions++;
        throw new MeshError("CONFLICT", "é".repeat(500), { retryable: true });
      },
    });
    const submit = (spare: number) => client.submit(Desk, "run", "x".repeat(LIMIT - spare));
    await expect(submit(300)).rejects.toMatchObject({ code: "MESSAGE_TOO_LARGE" });
    await expect(submit(8 * 1024)).rejects.toMatchObject({ code: "MESSAGE_TOO_LARGE" });
    const task = await submit(8 * 1024 + 200);
    await expect(task.result({ timeout: "5s" })).rejects.toMatchObject({ code: "CONFLICT" });
    expect(executions).toBe(3);
  });

  test("a result that does not fit with its headers fails after one execution", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    let executions = 0;
    await host.host(Desk, {
      run: (spare) => {
        executions++;
        return "x".repeat(LIMIT - Number(spare));
      },
    });
    await inTurn(["140", "120", "100"], async (spare) => {
      executions = 0;
      const task = await client.submit(Desk, "run", spare);
      const code = await task.result().then(
        () => "MESSAGE_TOO_LARGE",
        (error: MeshError) => error.code,
      );
      expect([code, executions]).toEqual(["MESSAGE_TOO_LARGE", 1]);
    });
  });

  test.each([
    ["do not fit", "x".repeat(2 * LIMIT)],
    ["cannot be encoded", { why: () => "nobody knows" }],
  ])(
    "an error whose details %s is recorded without them, after one execution",
    async (_, details) => {
      const [host, client] = [await meshes.join(), await meshes.join()];
      let executions = 0;
      await host.host(Desk, {
        run: (input) => {
          executions++;
          throw new MeshError("CONFLICT", "no luck", { details, retryable: input === "again" });
        },
      });
      const task = await client.submit(Desk, "run", "once");
      await expect(task.result()).rejects.toMatchObject({ code: "CONFLICT", message: "no luck" });
      expect(executions).toBe(1);
      await expect((await client.submit(Desk, "run", "again")).result()).rejects.toMatchObject({
        code: "CONFLICT",
      });
      expect(executions).toBe(1 + 3);
    },
  );
});

/** How a task was seen to end. */
function ending(task: { result(options: { timeout: "5s" }): Promise<unknown> }): Promise<unknown> {
  return task.result({ timeout: "5s" }).catch((error: unknown) => (error as MeshError).code);
}

describe("a stream that is gone", () => {
  test("does not use up the deliveries of a task whose result is looked for there", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    await host.host(Desk, { run: (input) => `done ${input}` });
    const manager = await jetstreamManager(await meshes.nats());
    const task = await client.submit(Desk, "run", "it", { key: "one", delay: "1s" });
    await manager.streams.delete(`${meshes.name}-results`);
    expect(await ending(task)).toBe("done it");
  });
});

describe("the lane of a tenant", () => {
  test("that somebody deleted is made again by its hosts", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    await host.host(Desk, { run: (input) => input });
    const options = { tenant: "a b.*~é" };
    expect(await ending(await client.submit(Desk, "run", "one", options))).toBe("one");
    const manager = await jetstreamManager(await meshes.nats());
    const consumer = "desk~run~normal~a=20b=2E=2A=7E=C3=A9";
    await manager.consumers.delete(`${meshes.name}-tasks`, consumer);
    expect(await ending(await client.submit(Desk, "run", "two", options))).toBe("two");
  });

  test("waits for signs of life as long as its hosts say, whatever its submitter says", async () => {
    const [one, two, client] = [await meshes.join(), await meshes.join(), await meshes.join()];
    let executions = 0;
    const Patient = agent("desk", {
      capabilities: { run: { ...Desk.capabilities.run, durable: { ackWait: "9s" } } },
    });
    const run = async (input: string): Promise<string> => {
      executions++;
      await sleep(2_000); // Desk says 600 ms
      return input;
    };
    await one.host(Patient, { run });
    await two.host(Patient, { run });
    expect(await ending(await client.submit(Desk, "run", "it", { tenant: "t" }))).toBe("it");
    const late = await meshes.join();
    expect(await ending(await late.submit(Desk, "run", "it", { tenant: "t" }))).toBe("it");
    expect(executions).toBe(2);
  });
});

test("what arrives when the last slot has just been taken is given back, not kept from everybody", async () => {
  const [host, client] = [await meshes.join(), await meshes.join()];
  const Single = agent("single", {
    capabilities: { run: { ...Desk.capabilities.run, durable: { ackWait: "20s" } } },
  });
  await host.host(Single, { run: () => sleep(3) }, { taskConcurrency: 1 });
  const began = performance.now();
  await inTurn(upTo(100), async () => {
    const priorities = ["high", "normal", "low"] as const;
    const tasks = priorities.map((priority) => client.submit(Single, "run", "", { priority }));
    await Promise.all(tasks.map(async (task) => (await task).result()));
  });
  expect(performance.now() - began).toBeLessThan(18_000); // each that was kept would have taken 20 s
}, 60_000);

test("leaving the events of a task while the next one is awaited ends both", async () => {
  const client = await meshes.join();
  const task = await client.submit(Desk, "run", "it");
  const events = task.events();
  const next = events.next();
  await sleep(20);
  expect(await events.return()).toEqual({ done: true, value: undefined });
  expect(await next).toEqual({ done: true, value: undefined });
  expect(await events.next()).toEqual({ done: true, value: undefined });
});

test("a task whose payload cannot be read, or breaks its schema, is given up at once and says why", async () => {
  const [host, client, nats] = [await meshes.join(), await meshes.join(), await meshes.nats()];
  const input = z.string().refine((text) => {
    if (text === "break it") throw new Error("the schema is broken");
    return true;
  });
  const Strange = agent("strange", {
    capabilities: { run: { ...Desk.capabilities.run, input } },
  });
  await host.host(Strange, { run: (text) => text });
  expect(await ending(await client.submitByName("strange", "run", "break it"))).toBe(
    "AGENT_FAILED",
  );
  const id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
  const writer = new FrameWriter();
  const fields = { id, sender: client.client, name: "run", sentAt: 1, seq: 1 };
  writer.write({ ...fields, kind: KINDS.task_delegation, payload: Uint8Array.of(0xc1) });
  nats.publish(`${meshes.name}.task.strange.run.normal.default.${id}`, writer.take());
  await nats.flush();
  expect(await ending(client.task(id))).toBe("BAD_MESSAGE");
});

test("names as long as they may be have queues of their own, and so have their tenants", async () => {
  const [host, client] = [await meshes.join(), await meshes.join()];
  const [long, wide] = ["a".repeat(63), "c".repeat(63)];
  const run = { ...Desk.capabilities.run, durable: { ...quick, tenantConcurrency: 1 } };
  const Long = agent(long, { capabilities: { [wide]: run } });
  await host.host(Long, { [wide]: (input: string) => input });
  const tenant = "t".repeat(127);
  const submit = (own: string) =>
    client.submit(Long, wide, own, { tenant: tenant + own, priority: "normal" });
  const tasks = await Promise.all(["1", "2"].map(submit));
  expect(await Promise.all(tasks.map(ending))).toEqual(["1", "2"]);
  const byName = client.submitByName(Long.name, wide, "3", { tenant: `${tenant}1` });
  expect(await ending(await byName)).toBe("3");
  const manager = await jetstreamManager(await meshes.nats());
  const names: string[] = [];
  for await (const consumer of manager.consumers.list(`${meshes.name}-tasks`)) {
    names.push(consumer.name);
  }
  expect(names.filter((one) => one.includes("~=h"))).toHaveLength(2);
  expect(Math.max(...names.map(({ length }) => length))).toBeLessThanOrEqual(255);
});

test("nobody waits for a task on a closed connection", async () => {
  const client = await meshes.join();
  const task = await client.submit(Desk, "run", "it");
  await client.close();
  await expect(task.result()).rejects.toMatchObject({ code: "CANCELED" });
  await expect(task.events().next()).rejects.toMatchObject({ code: "CANCELED" });
});

test("whoever waits for a task that cannot be read goes on waiting, and learns what its host records", async () => {
  const [host, client] = [await meshes.join(), await meshes.join()];
  await client.submit(Desk, "run", "it");
  const nats = await meshes.nats();
  const id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
  nats.publish(`${meshes.name}.task.desk.run.normal.default.${id}`, "garbage");
  await nats.flush();
  const waiting = ending(client.task(id));
  await sleep(300);
  await host.host(Desk, { run: (input) => input });
  expect(await waiting).toBe("BAD_MESSAGE");
});

describe("a host behind a slow network", () => {
  test("does not execute what was canceled while its next attempt was being put back", async () => {
    const { proxy, host, client } = await slow();
    await using _ = proxy;
    const attempts: number[] = [];
    const failed = gate();
    await host.host(Desk, {
      run: (input, { attempt }) => {
        attempts.push(attempt);
        failed.open();
        throw new MeshError("CONFLICT", input, { retryable: true });
      },
    });
    proxy.delay(200);
    const task = await client.submit(Desk, "run", "it");
    await failed.opened;
    expect(await task.cancel()).toBe(true);
    await sleep(2_500); // the attempt is due; the broker looks at schedules once a second
    expect(attempts).toEqual([1]);
    expect(await task.status()).toMatchObject({ state: "canceled" });
    await proxy.heal();
  });

  test("does not acknowledge the next attempt in place of the last one, should both be read at once", async () => {
    const { proxy, host, client } = await slow();
    await using _ = proxy;
    const attempts: number[] = [];
    await host.host(Desk, {
      run: (input, { attempt }) => {
        attempts.push(attempt);
        if (attempt > 1) return input;
        proxy.hold("toClient");
        setTimeout(() => void proxy.heal(), 1_500); // the broker looks at schedules once a second
        throw new MeshError("CONFLICT", "no luck", { retryable: true });
      },
    });
    expect(await ending(await client.submit(Desk, "run", "it"))).toBe("it");
    await sleep(1_000); // longer than ackWait
    expect(attempts).toEqual([1, 2]);
    expect(await metric(host, "plexus_task_surplus_executions_total")).toBe(0);
  });
});

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** A client, and a host whose network a test makes bad. */
async function slow(): Promise<{ proxy: Proxy; host: Mesh; client: Mesh }> {
  const proxy = await startProxy({ target: meshes.broker.url });
  const host = await meshes.join({ servers: proxy.url });
  return { proxy, host, client: await meshes.join() };
}

describe("a task that a stranger has written", () => {
  test("in the name of nobody who can be told is executed, waited for and canceled like any other", async () => {
    const [host, client] = [await meshes.join(), await meshes.join()];
    const release = gate();
    const { info } = await host.host(Desk, {
      run: (input) => (input === "b" ? release.opened : input),
    });
    await (await client.submit(Desk, "run", "a")).result();
    const nats = await meshes.nats();
    const [free, held] = ["01J00000000000000000000001", "01J00000000000000000000002"];
    const write = (id: string, input: string): void => {
      const writer = new FrameWriter();
      writer.write({
        kind: KINDS.task_delegation,
        id,
        sender: "some body",
        recipient: "desk",
        name: "run",
        sentAt: Date.now() * 1_000,
        payload: encodePayload(input),
        seq: 1,
      });
      nats.publish(`${meshes.name}.task.desk.run.normal.default.${id}`, writer.take());
    };
    write(held, "b");
    await expect.poll(async () => (await client.inspect(info.instance)).tasks?.running).toBe(1);
    const ended = client
      .task(held)
      .result()
      .catch((error: unknown) => error);
    expect(await client.task(held).cancel()).toBe(true);
    expect(await ended).toMatchObject({ code: "CANCELED" });
    write(free, "c");
    expect(await client.task(free).result({ timeout: "20s" })).toBe("c");
    release.open();
  }, 30_000);
});

describe("a task that two hosts have executed", () => {
  test.each(["before", "after"])(
    "has for whoever waits the result that is recorded, should the other one have come %s it is confirmed",
    async (other) => {
      const [client, nats] = [await meshes.join(), await meshes.nats()];
      const task = await client.submit(Desk, "run", "it");
      const ended = ending(task);
      const ctl = `${meshes.name}.ctl`;
      const send = (host: string): { bytes: Uint8Array; confirmation: string } => {
        const sentAt = Date.now() * 1_000;
        const writer = new FrameWriter();
        const sent = { kind: KINDS.response, id: task.id, name: "desk.run", sentAt, seq: 1 };
        writer.write({
          ...sent,
          sender: `${host}-1`,
          recipient: client.client,
          payload: encodePayload(host),
        });
        const confirmation = `${ctl}.recorded.${client.client}.${host}.${task.id}.${sentAt}`;
        return { bytes: writer.take(), confirmation };
      };
      const [first, second] = [send("first"), send("second")];
      const tell = ({ bytes }: { bytes: Uint8Array }): void =>
        nats.publish(`${ctl}.results.${client.client}`, bytes);
      const record = ({ bytes, confirmation }: ReturnType<typeof send>): void =>
        nats.publish(`${meshes.name}.done.${task.id}`, bytes, { reply: confirmation });
      // What another broker of a cluster could make of it: the second one's results come between the first one's.
      if (other === "before") tell(second);
      record(first);
      await nats.flush();
      if (other === "after") tell(second);
      await nats.flush();
      await sleep(100);
      tell(first);
      record(second);
      expect(await ended).toBe("first");
      expect(await client.task(task.id).result()).toBe("first");
    },
  );
});
