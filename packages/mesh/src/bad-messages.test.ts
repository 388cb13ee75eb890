import { FrameWriter, KINDS, agent, encodePayload, topic, type Kind } from "@plexus/core";
import { seededRandom } from "@plexus/testing";
import { expect, test } from "vitest";
import { z } from "zod";
import { gate, metric, useMeshes } from "../../../test/support/mesh.ts";

const meshes = useMeshes();

const Any = { input: z.unknown(), output: z.unknown() };
const Echo = agent("echo", {
  capabilities: {
    echo: { input: z.object({ n: z.number() }), output: z.number() },
    hold: Any,
    spell: { ...Any, stream: z.string() },
  },
});
const News = topic("news", { schema: z.number() });

async function scene() {
  const host = await meshes.join({ name: "host" });
  const release = gate();
  const { info } = await host.host(Echo, {
    echo: ({ n }) => n,
    hold: () => release.opened,
    spell: async function* () {
      yield "a";
    },
  });
  let events = 0;
  const subscription = await host.subscribe(News, () => void events++);
  const caller = await meshes.join({ name: "caller" });
  await caller.waitFor(Echo);
  const subjects = [
    `${meshes.name}.rpc.echo.echo`,
    `${meshes.name}.rpc.echo.spell`,
    `${meshes.name}.rpc.echo.echo.i.${info.instance}`,
    `${meshes.name}.evt.news`,
    `${meshes.name}.ctl.${info.instance}`,
    `_INBOX.${meshes.name}.${host.client}.0`,
    `_INBOX.${meshes.name}.${caller.client}.0`,
  ];
  /** Everything still works. */
  const works = async () => {
    expect(await caller.get(Echo).echo({ n: 7 })).toBe(7);
    const chunks: string[] = [];
    for await (const chunk of caller.get(Echo).spell.stream(0)) chunks.push(chunk);
    expect(chunks).toEqual(["a"]);
    const report = () => caller.inspect(info.instance);
    await expect.poll(report, { timeout: 5_000 }).toMatchObject({ running: 0, queued: 0 });
    const before = events;
    await caller.publish(News, 1);
    await expect.poll(() => events).toBeGreaterThan(before);
    expect(host.connected && caller.connected).toBe(true);
  };
  return { host, caller, info, subjects, works, release, subscription };
}

function envelope(kind: number, n: number, payload: unknown = { n }): Buffer {
  const writer = new FrameWriter();
  writer.write({
    kind: kind as Kind,
    id: `01J000000000000000000${String(n).padStart(5, "0")}`,
    sender: "stranger",
    recipient: "someone",
    name: "echo",
    sentAt: Date.now() * 1_000,
    deadline: Date.now() * 1_000 + 1_000_000,
    parents: ["01J00000000000000000000000"],
    trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    payload: encodePayload(payload),
    seq: n,
  });
  return Buffer.from(writer.take());
}

test("10,000 truncated, flipped, random and foreign messages on every kind of subject harm nothing", async () => {
  const { host, caller, subjects, works } = await scene();
  const nats = await meshes.nats();
  const random = seededRandom(20_260_729);
  const below = (limit: number) => Math.floor(random() * limit);
  const kinds = Object.values(KINDS);
  const makers: ((n: number) => Uint8Array)[] = [
    (n) => envelope(KINDS.request, n).subarray(0, below(80)), // truncated
    (n) => {
      const bytes = envelope(kinds[below(kinds.length)]!, n);
      for (let flips = below(4); flips >= 0; flips--) {
        const at = below(bytes.length);
        bytes[at] = bytes[at]! ^ (1 << below(8));
      }
      return bytes;
    },
    () => Buffer.from(Array.from({ length: below(200) }, () => below(256))), // noise
    (n) => {
      const bytes = envelope(KINDS.request, n);
      bytes[1] = 2 + below(100); // a version that does not exist yet
      return bytes;
    },
    (n) => envelope(11 + below(100), n), // a kind that does not exist yet
    (n) => envelope(kinds[below(kinds.length)]!, n), // a kind that may not belong there
    (n) => Buffer.concat([envelope(KINDS.request, n), Buffer.from([0xc1])]), // noise behind a good one
    (n) => envelope(KINDS.request, n, { n: "not a number" }),
    () => Buffer.from("GET / HTTP/1.1\r\n\r\n"),
    () => Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]), // an array of four billion
  ];
  const bad = async () =>
    (await metric(host, "plexus_bad_messages_total")) +
    (await metric(caller, "plexus_bad_messages_total"));
  let replies = 0;
  nats.subscribe("replies.>", { callback: () => void replies++ });
  for (let n = 0; n < 10_000; n++) {
    const subject = subjects[n % subjects.length]!;
    const bytes = makers[n % makers.length]!(n);
    nats.publish(subject, bytes, n % 3 === 0 ? { reply: `replies.${n}` } : {});
    // In portions, as the queue is bounded.
    if (n % 500 === 499) await nats.flush();
  }
  await works();
  expect(await bad()).toBeGreaterThan(5_000);
  expect(replies).toBeGreaterThan(500); // a coded answer where one is possible
});

test("each way of being wrong is counted, and answered where that is possible", async () => {
  const { host, subjects, works } = await scene();
  const nats = await meshes.nats();
  const [queue, , instance, event, control, inbox] = subjects as [
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  const bad = () => metric(host, "plexus_bad_messages_total");
  const cases: [subject: string, bytes: Uint8Array][] = [
    [queue, envelope(KINDS.event, 1)],
    [queue, envelope(KINDS.response, 1)],
    [instance, envelope(KINDS.control, 1)],
    [instance, envelope(KINDS.request, 1).subarray(0, 40)],
    [instance, new Uint8Array(0)],
    [event, envelope(KINDS.request, 1)],
    [control, envelope(KINDS.request, 1)],
    [control, envelope(KINDS.control, 1)], // the verb "echo" does not exist
    [control, Buffer.from("noise")],
    [inbox, envelope(KINDS.request, 1)],
    [inbox, envelope(KINDS.event, 1)],
    [inbox, Buffer.from("noise")],
    [`${meshes.name}.rpc.echo.unknown`, envelope(KINDS.request, 1)],
  ];
  for (const [index, [subject, bytes]] of cases.entries()) {
    nats.publish(subject, bytes);
    // Which of them was not counted?
    await expect.poll(bad, { message: `${index} ${subject}` }).toBe(index + 1);
  }
  await works();
});

test("requests without a reply subject, and streams nobody reads, end at their deadline", async () => {
  const { host, works, info } = await scene();
  const nats = await meshes.nats();
  for (let n = 0; n < 50; n++) {
    nats.publish(`${meshes.name}.rpc.echo.echo`, envelope(KINDS.request, n));
    nats.publish(`${meshes.name}.rpc.echo.spell.i.${info.instance}`, envelope(KINDS.request, n));
  }
  await nats.flush();
  await works();
  expect(await metric(host, "plexus_inflight")).toBe(0);
});

test("a reply subject that leads back to the host makes no echo that never ends", async () => {
  const { host, works, subjects } = await scene();
  const nats = await meshes.nats();
  for (const reply of subjects) nats.publish(subjects[0]!, Buffer.from("noise"), { reply });
  for (const reply of subjects) nats.publish(subjects[0]!, envelope(KINDS.request, 1), { reply });
  await nats.flush();
  await works();
  const frames = () => metric(host, "plexus_frames_total");
  const before = await frames();
  await nats.flush();
  await works();
  expect((await frames()) - before).toBeLessThan(20);
});
