import { FrameWriter, KINDS, MeshError, agent, encodePayload, readFrame } from "@plexus/core";
import type { Envelope } from "@plexus/core";
import { expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { fired, gate, metric, useMeshes } from "../../../test/support/mesh.ts";
import type { Context } from "./context.ts";
import type { HostOptions } from "./host.ts";
import type { MeshStream } from "./stream-call.ts";

const meshes = useMeshes({ maxPayload: 256 * 1024 });

const Writer = agent("writer", {
  capabilities: {
    text: { input: z.unknown(), output: z.string(), stream: z.string() },
    count: { input: z.number(), output: z.object({ total: z.number() }), stream: z.number() },
    any: { input: z.unknown(), output: z.unknown(), stream: z.number(), idempotent: true },
    plain: { input: z.unknown(), output: z.unknown() },
  },
});

type Generate = (input: unknown, context: Context) => AsyncGenerator<number, unknown, unknown>;

/** A stream that says nothing. */
// oxlint-disable-next-line require-yield
async function* nothing(): AsyncGenerator<never, string> {
  return "nothing to say";
}

// oxlint-disable-next-line require-yield
async function* total(): AsyncGenerator<never, { total: number }> {
  return { total: 0 };
}

async function* numbers(): AsyncGenerator<number> {
  yield 1;
}

async function pair(generate?: Generate, options: HostOptions = {}) {
  const host = await meshes.join({ name: "host" });
  const hosted = await host.host(
    Writer,
    {
      text: async function* () {
        yield "a ";
        yield "stream ";
        yield "of text";
      },
      count: async function* (to) {
        for (let n = 1; n <= to; n++) yield n;
        return { total: to };
      },
      any: generate ?? numbers,
      plain: (input) => input,
    },
    options,
  );
  const caller = await meshes.join({ name: "caller" });
  return { host, hosted, caller, writer: caller.get(Writer) };
}

async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const chunks: T[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const code = (expected: string) => expect.objectContaining({ name: "MeshError", code: expected });

test("chunks come in order, then the result", async () => {
  const { writer } = await pair();
  const stream = writer.count.stream(1_000);
  expectTypeOf(stream).toEqualTypeOf<MeshStream<number, { total: number }>>();
  expect(await collect(stream)).toEqual(Array.from({ length: 1_000 }, (_, i) => i + 1));
  expect(await stream.result).toEqual({ total: 1_000 });
});

test("a stream of text that returns nothing results in the whole text", async () => {
  const { writer } = await pair();
  const stream = writer.text.stream(0);
  expect(await collect(stream)).toEqual(["a ", "stream ", "of text"]);
  expect(await stream.result).toBe("a stream of text");
});

test("a plain call of a streaming capability gets the result alone", async () => {
  const { writer } = await pair();
  expect(await writer.text(0)).toBe("a stream of text");
  expect(await writer.count(500)).toEqual({ total: 500 });
});

test("a capability that does not stream has no stream()", async () => {
  const { writer } = await pair();
  expectTypeOf(writer.plain).not.toHaveProperty("stream");
  expect(writer.plain).not.toHaveProperty("stream");
});

test("an empty stream ends at once", async () => {
  const { writer } = await pair(nothing);
  const stream = writer.any.stream(0);
  expect(await collect(stream)).toEqual([]);
  expect(await stream.result).toBe("nothing to say");
});

test("a reader that breaks off cancels the generator, whose finally runs", async () => {
  const canceled = gate();
  const cleaned = gate();
  let last = 0;
  const { writer } = await pair(async function* (_input, { signal }) {
    void fired(signal).then(() => canceled.open());
    try {
      for (let n = 0; ; n++) yield n;
    } finally {
      cleaned.open();
    }
  });
  for await (const n of writer.any.stream(0)) {
    last = n;
    if (n === 10) break;
  }
  await Promise.all([canceled.opened, cleaned.opened]);
  expect(last).toBe(10);
});

test("a stream that is disposed cancels the generator", async () => {
  const canceled = gate();
  const { writer } = await pair(async function* (_input, { signal }) {
    yield 1;
    await fired(signal);
    canceled.open();
  });
  {
    await using stream = writer.any.stream(0);
    expect(await stream.next()).toEqual({ done: false, value: 1 });
  }
  await canceled.opened;
});

test("a signal ends the stream for the reader and the writer", async () => {
  const canceled = gate();
  const controller = new AbortController();
  const { writer } = await pair(async function* (_input, { signal }) {
    yield 1;
    await fired(signal);
    canceled.open();
  });
  const stream = writer.any.stream(0, { signal: controller.signal });
  await stream.next();
  const next = stream.next();
  controller.abort();
  await expect(next).rejects.toEqual(code("CANCELED"));
  await expect(stream.result).rejects.toEqual(code("CANCELED"));
  await canceled.opened;
});

test("a slow reader slows the writer: it is never more than the window ahead", async () => {
  const window = 8;
  let produced = 0;
  let read = 0;
  let ahead = 0;
  const { caller, hosted, writer } = await pair(async function* () {
    for (let n = 0; n < 200; n++) {
      produced++;
      ahead = Math.max(ahead, produced - read);
      yield n;
    }
  });
  const stream = writer.any.stream(0, { window });
  await expect.poll(() => produced).toBe(window); // the generator is pulled only when there is credit
  await caller.inspect(hosted.info.instance);
  expect(produced).toBe(window);
  for await (const n of stream) expect(n).toBe(read++);
  expect(read).toBe(200);
  expect(ahead).toBeLessThanOrEqual(window + 1); // + 1: a chunk counts as read once the reader has it in hand
});

test("a window of one still makes progress", async () => {
  const { writer } = await pair();
  expect(await collect(writer.count.stream(50, { window: 1 }))).toHaveLength(50);
  expect(() => writer.count.stream(1, { window: 0 })).toThrow(code("INVALID_CONTRACT"));
});

test("heartbeats keep a stream alive that has nothing to say for longer than the stall limit", async () => {
  const { writer } = await pair(async function* () {
    yield 1;
    await new Promise((resolve) => setTimeout(resolve, 3_600));
    yield 2;
  });
  expect(await collect(writer.any.stream(0))).toEqual([1, 2]);
});

test("heartbeats keep a stream alive that waits for a slot", async () => {
  const release = gate();
  const { writer } = await pair(
    async function* (input) {
      if (input === "first") await release.opened;
      yield 1;
    },
    { concurrency: 1 },
  );
  const first = collect(writer.any.stream("first"));
  const second = collect(writer.any.stream("second"));
  setTimeout(() => release.open(), 3_600);
  expect(await Promise.all([first, second])).toEqual([[1], [1]]);
});

test("a stream whose writer falls silent ends before its timeout", async () => {
  // A responder that sends one chunk and then nothing: as if its event loop had stopped.
  const nats = await meshes.nats();
  const { caller, hosted, writer } = await pair(undefined, { concurrency: 1 });
  const [instance] = caller.agents(Writer);
  expect(instance).toEqual(hosted.info);
  await hosted.drain();
  await expect.poll(() => caller.agents(Writer)).toEqual([]);
  const subject = `${meshes.name}.rpc.writer.any.i.frozen`;
  nats.subscribe(subject, {
    callback: (_error, message) => {
      readFrame(message.data, (request) => message.respond(answer(request, KINDS.chunk, 1, 0)));
    },
  });
  nats.subscribe(`${meshes.name}.ctl.frozen`);
  await nats.flush();
  await announce(nats, { ...instance!, instance: "frozen" });
  await caller.waitFor(Writer);
  const stream = writer.any.stream(0, { timeout: "20s" });
  expect(await stream.next()).toEqual({ done: false, value: 1 });
  const started = performance.now();
  await expect(stream.next()).rejects.toEqual(code("TIMEOUT"));
  expect(performance.now() - started).toBeLessThan(10_000);
});

test("a stream ends at its timeout, and the generator with it", async () => {
  const canceled = gate();
  const { writer } = await pair(async function* (_input, { signal }) {
    yield 1;
    await fired(signal);
    canceled.open();
  });
  const stream = writer.any.stream(0, { timeout: 100 });
  await expect(collect(stream)).rejects.toEqual(code("TIMEOUT"));
  await canceled.opened;
});

test("a stream that has begun may go on after the time for an attempt", async () => {
  const { caller, writer } = await pair(async function* () {
    yield 1;
    await new Promise((resolve) => setTimeout(resolve, 300));
    yield 2;
  });
  expect(await collect(writer.any.stream(0, { attemptTimeout: 100 }))).toEqual([1, 2]);
  expect(await metric(caller, "plexus_retries_total")).toBe(0);
});

test("a handler that throws mid-stream fails the stream after its chunks", async () => {
  const { writer } = await pair(async function* () {
    yield 1;
    yield 2;
    throw new Error("out of words");
  });
  const stream = writer.any.stream(0);
  const chunks: number[] = [];
  const reading = (async () => {
    for await (const chunk of stream) chunks.push(chunk);
  })();
  await expect(reading).rejects.toThrow(/out of words/);
  await expect(stream.result).rejects.toEqual(code("AGENT_FAILED"));
  expect(chunks).toEqual([1, 2]);
});

test("a handler that is no generator fails its call alone", async () => {
  const { writer } = await pair((() => 5) as unknown as Generate);
  await expect(collect(writer.any.stream(0))).rejects.toEqual(code("AGENT_FAILED"));
  expect(await writer.plain("still here")).toBe("still here");
});

test("a chunk outside the schema ends the stream with INVALID_OUTPUT", async () => {
  const cleaned = gate();
  const { writer } = await pair(async function* () {
    try {
      yield 1;
      yield "two" as unknown as number;
      yield 3;
    } finally {
      cleaned.open();
    }
  });
  const stream = writer.any.stream(0);
  await expect(collect(stream)).rejects.toEqual(code("INVALID_OUTPUT"));
  await cleaned.opened;
});

test("a chunk over the broker's limit ends the stream with MESSAGE_TOO_LARGE", async () => {
  const host = await meshes.join();
  await host.host(Writer, {
    text: async function* () {
      yield "small";
      yield "x".repeat(300_000);
    },
    count: total,
    any: numbers,
    plain: () => 0,
  });
  const caller = await meshes.join();
  await expect(collect(caller.get(Writer).text.stream(0))).rejects.toEqual(
    code("MESSAGE_TOO_LARGE"),
  );
});

test("an input outside the schema fails the stream before it begins", async () => {
  const { writer } = await pair();
  const stream = writer.count.stream("many" as unknown as number);
  await expect(collect(stream)).rejects.toEqual(code("INVALID_INPUT"));
});

test("two readers of one stream are told apart by an error, not by luck", async () => {
  const { writer } = await pair(async function* (_input, { signal }) {
    await fired(signal);
    yield 1;
  });
  const stream = writer.any.stream(0);
  const first = stream.next();
  await expect(stream.next()).rejects.toEqual(code("INVALID_CONTRACT"));
  await stream.return?.();
  expect(await first).toEqual({ done: true, value: undefined });
});

test("a chunk that is missing ends the stream with STREAM_GAP and cancels the writer", async () => {
  const canceled = gate();
  const request = gate();
  let id = "";
  const { writer } = await pair(async function* (_input, context) {
    id = context.id;
    yield 1;
    request.open();
    await fired(context.signal);
    canceled.open();
  });
  const nats = await meshes.nats();
  const inboxes = gate();
  let inbox = "";
  nats.subscribe(`_INBOX.${meshes.name}.>`, {
    callback: (_error, message) => {
      inbox = message.subject;
      inboxes.open();
    },
  });
  await nats.flush();
  const stream = writer.any.stream(0);
  expect(await stream.next()).toEqual({ done: false, value: 1 });
  await Promise.all([request.opened, inboxes.opened]);
  nats.publish(inbox, answer({ id } as Envelope, KINDS.chunk, 3, 2)); // 1 was never sent
  await expect(stream.next()).rejects.toEqual(code("STREAM_GAP"));
  await expect(stream.result).rejects.toThrow(/chunk 1 is missing, 2 came/);
  await canceled.opened;
});

test("a repeated chunk is dropped", async () => {
  const go = gate();
  const yielded = gate();
  let id = "";
  const { writer } = await pair(async function* (_input, context) {
    id = context.id;
    yield 1;
    yielded.open();
    await go.opened;
    yield 2;
  });
  const nats = await meshes.nats();
  let inbox = "";
  nats.subscribe(`_INBOX.${meshes.name}.>`, {
    callback: (_error, message) => {
      inbox = message.subject;
    },
  });
  await nats.flush();
  const stream = writer.any.stream(0);
  expect(await stream.next()).toEqual({ done: false, value: 1 });
  await yielded.opened;
  await expect.poll(() => inbox).not.toBe("");
  nats.publish(inbox, answer({ id } as Envelope, KINDS.chunk, 1, 0));
  await nats.flush();
  go.open();
  expect(await collect(stream)).toEqual([2]);
});

test("an answer that misses chunks at the end is STREAM_GAP", async () => {
  const go = gate();
  let id = "";
  const { writer } = await pair(async function* (_input, context) {
    id = context.id;
    yield 1;
    await go.opened;
  });
  const nats = await meshes.nats();
  let inbox = "";
  nats.subscribe(`_INBOX.${meshes.name}.>`, {
    callback: (_error, message) => {
      inbox = message.subject;
    },
  });
  await nats.flush();
  const stream = writer.any.stream(0);
  await stream.next();
  await expect.poll(() => inbox).not.toBe("");
  nats.publish(inbox, answer({ id } as Envelope, KINDS.response, "end", 5));
  await expect(stream.next()).rejects.toEqual(code("STREAM_GAP"));
  go.open();
});

test("a stream that one instance refuses is taken by another", async () => {
  const release = gate();
  const { host, caller, writer } = await pair(
    async function* () {
      yield 1;
      await release.opened;
    },
    { concurrency: 1, queue: 0 },
  );
  const first = writer.any.stream(0);
  await first.next();
  await host.host(Writer, {
    text: nothing,
    count: total,
    any: async function* () {
      yield 7;
    },
    plain: () => 0,
  });
  await caller.waitFor(Writer, { instances: 2 });
  const others = Array.from({ length: 5 }, () => collect(writer.any.stream(0)));
  expect(await Promise.all(others)).toEqual([[7], [7], [7], [7], [7]]);
  release.open();
  expect(await collect(first)).toEqual([]);
});

test("a long stream does not pile anything up", async () => {
  const { writer } = await pair();
  let sum = 0;
  for await (const n of writer.count.stream(20_000, { window: 256 })) sum += n;
  expect(sum).toBe((20_000 * 20_001) / 2);
});

/** An envelope that answers a request, as a host would write it. */
function answer(request: Envelope, kind: 2 | 3, value: unknown, seq: number): Uint8Array {
  const writer = new FrameWriter();
  writer.write({
    kind,
    id: request.id,
    sender: "stranger",
    name: "any",
    sentAt: Date.now() * 1_000,
    payload: encodePayload(value),
    seq,
  });
  return writer.take();
}

/** Enters an instance into the registry by hand. */
async function announce(
  nats: Awaited<ReturnType<typeof meshes.nats>>,
  info: { agent: string; instance: string },
): Promise<void> {
  const ack = await nats.request(
    `$KV.${meshes.name}-registry.${info.agent}.${info.instance}`,
    JSON.stringify(info),
  );
  if (!ack.json<{ seq?: number }>().seq) throw new MeshError("CONFLICT", ack.string());
}
