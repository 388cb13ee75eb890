import { MeshError, agent } from "@plexus/core";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { startBroker, startProxy } from "@plexus/testing";
import { describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { fired, gate, inTurn, metric, upTo, useMeshes } from "../../../test/support/mesh.ts";
import { connect } from "./mesh.ts";

const meshes = useMeshes();

/** A single delivery that is lost makes it give up. */
const Frail = agent("frail", {
  capabilities: {
    run: {
      input: z.string(),
      output: z.string(),
      durable: { deliveries: 1, ackWait: 600 },
    },
  },
});

describe("a delivery that is given back", () => {
  test("because the host is full is no step towards giving the task up", async () => {
    await using proxy = await startProxy({ target: meshes.broker.url });
    const [host, client] = [await meshes.join({ servers: proxy.url }), await meshes.join()];
    const ran: string[] = [];
    await host.host(
      Frail,
      { run: async (text) => (ran.push(text), await sleep(50), text) },
      { taskConcurrency: 1 },
    );
    await sleep(100); // its polls are open
    proxy.hold("toClient");
    const priorities = ["high", "normal", "low"] as const;
    const tasks = await Promise.all(
      priorities.map((priority) => client.submit(Frail, "run", priority, { priority })),
    );
    await sleep(100); // the broker has sent one for each poll
    await proxy.heal();
    expect(await Promise.all(tasks.map((task) => task.result()))).toEqual([...priorities]);
    expect(ran.toSorted()).toEqual(priorities.toSorted());
    const notes = await (
      await jetstreamManager(await meshes.nats())
    ).streams.info(`${meshes.name}-effects`, { subjects_filter: ">" });
    expect(notes.state.messages).toBeGreaterThan(0); // it did happen
    expect(await metric(host, "plexus_task_reassignments_total")).toBe(0);
  });

  test("by a host that shuts down is none either", async () => {
    const [leaving, other, client] = [
      await meshes.join(),
      await meshes.join(),
      await meshes.join(),
    ];
    const began = gate();
    const hosted = await leaving.host(
      Frail,
      {
        run: async (text, { signal }) => {
          began.open();
          await fired(signal);
          return text;
        },
      },
      { drainTimeout: 50 },
    );
    const task = await client.submit(Frail, "run", "it");
    await began.opened;
    await hosted.drain();
    await other.host(Frail, { run: (text) => text });
    expect(await task.result()).toBe("it");
    expect(await metric(other, "plexus_task_reassignments_total")).toBe(0);
  });
});

test("handlers that wait for nothing do not hold up the event loop until all have run", async () => {
  const [host, client] = [await meshes.join(), await meshes.join()];
  let turn = 0;
  let counting = true;
  const count = (): void => {
    turn++;
    if (counting) setImmediate(count);
  };
  const turns = new Set<number>();
  const busy = (text: string): string => {
    turns.add(turn);
    for (const end = performance.now() + 20; performance.now() < end;);
    return text;
  };
  const tasks = await Promise.all(upTo(40).map((n) => client.submit(Frail, "run", String(n))));
  count();
  await host.host(Frail, { run: busy }); // 800 ms of work; silence of 600 ms would make them be given up
  expect(await Promise.all(tasks.map((task) => task.result()))).toEqual(upTo(40).map(String));
  counting = false;
  expect(turns.size).toBeGreaterThan(30);
});

test("hosting that fails at the last step leaves nothing that runs", async () => {
  const authorization = {
    users: [
      { user: "all", password: "x" },
      {
        user: "few",
        password: "x",
        permissions: { publish: { deny: "$JS.API.CONSUMER.NAMES.>" } },
      },
    ],
  };
  await using broker = await startBroker({ config: { authorization } });
  const options = { servers: broker.url, mesh: meshes.name, http: false, password: "x" } as const;
  const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log };
  await using mesh = await connect({ ...options, log, user: "few" });
  const begun = new Set<unknown>();
  const set = vi.spyOn(globalThis, "setInterval");
  const clear = vi.spyOn(globalThis, "clearInterval");
  const failed = mesh.host(Frail, { run: (text) => text });
  await expect(failed).rejects.toBeInstanceOf(MeshError);
  for (const [i, { value }] of set.mock.results.entries()) {
    if (String(set.mock.calls[i]![0]).includes("feed")) begun.add(value); // the puller's
  }
  expect(begun.size).toBe(1);
  for (const [timer] of clear.mock.calls) begun.delete(timer);
  set.mockRestore();
  clear.mockRestore();
  expect(begun.size).toBe(0);
}, 90_000);

test("a host that has nothing to do asks for work once, and not again and again", async () => {
  const [host, nats] = [await meshes.join(), await meshes.nats()];
  const { run } = Frail.capabilities;
  const Patient = agent("patient", { capabilities: { run: { ...run, durable: true } } });
  await host.host(Patient, { run: (text) => text }, { taskConcurrency: 1 });
  await sleep(200);
  let asked = 0;
  nats.subscribe(`$JS.API.CONSUMER.MSG.NEXT.${meshes.name}-tasks.>`, {
    callback: () => void asked++,
  });
  await nats.flush();
  await sleep(1_000);
  expect(asked).toBe(0); // each of its three lanes has an open request
});

test("no more is fetched than there are slots, whatever waits", async () => {
  const [host, client, nats] = [await meshes.join(), await meshes.join(), await meshes.nats()];
  const tasks = await Promise.all(
    upTo(60).flatMap((n) =>
      (["high", "low"] as const).map((priority) =>
        client.submit(Frail, "run", String(n), { priority }),
      ),
    ),
  );
  const end = gate();
  const patient = { run: async (text: string) => (await end.opened, text) };
  await host.host(Frail, patient, { taskConcurrency: 9 });
  const manager = await jetstreamManager(nats);
  const fetched = async (): Promise<number> => {
    let sum = 0;
    for await (const { num_ack_pending: n } of manager.consumers.list(`${meshes.name}-tasks`)) {
      sum += n;
    }
    return sum;
  };
  // One slot is kept for the lane that has nothing yet.
  await vi.waitFor(async () => expect(await fetched()).toBeGreaterThanOrEqual(8));
  await sleep(300); // what crossed with the last free slot has been given back
  // Nothing ends meanwhile, so the figures of the two consumers belong together.
  await inTurn(upTo(20), async () => expect(await fetched()).toBeLessThanOrEqual(9));
  end.open();
  await Promise.all(tasks.map((task) => task.result()));
});

const twice = async (): Promise<unknown> => {
  const [host, client, nats] = [await meshes.join(), await meshes.join(), await meshes.nats()];
  await host.host(Frail, { run: (text) => text });
  const task = await client.submit(Frail, "run", "first");
  expect(await task.result()).toBe("first");
  const second = jetstream(nats).publish(`${meshes.name}.done.${task.id}`, "second");
  const refusal = await second.catch((error: unknown) => String(error));
  expect(await client.task(task.id).result()).toBe("first");
  return refusal;
};

describe("a second result", () => {
  test("is refused by the broker, whoever writes it", async () => {
    expect(await twice()).toMatch(/maximum messages per subject exceeded/);
  });

  test("is refused, too, where the streams were made with other settings", async () => {
    const manager = await jetstreamManager(await meshes.nats());
    const name = `${meshes.name}-results`;
    await manager.streams.add({ name, subjects: [`${meshes.name}.done.>`], max_age: 3_600e9 });
    expect(await twice()).toMatch(/maximum messages per subject exceeded/);
    const { config } = await manager.streams.info(name);
    expect(config.max_age).toBe(3_600e9);
  });
});

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
