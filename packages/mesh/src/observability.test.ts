import { hostname } from "node:os";
import { FrameWriter, KINDS, agent, encodePayload, topic } from "@plexus/core";
import { startProxy } from "@plexus/testing";
import { expect, test } from "vitest";
import { z } from "zod";
import { gate, inTurn, upTo, useMeshes } from "../../../test/support/mesh.ts";

const meshes = useMeshes();

const Any = { input: z.unknown(), output: z.unknown() };
const Echo = agent("echo", { capabilities: { echo: Any } });
const News = topic("news", { schema: z.number() });

interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

/** Parses the Prometheus text format; throws at a line that is none of it. */
function parse(text: string): { samples: Sample[]; types: Map<string, string> } {
  const samples: Sample[] = [];
  const types = new Map<string, string>();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("# HELP ")) continue;
    const type = /^# TYPE (\w+) (counter|gauge|histogram|summary)$/.exec(line);
    if (type) {
      if (types.has(type[1]!)) throw new Error(`${type[1]} is declared twice`);
      types.set(type[1]!, type[2]!);
      continue;
    }
    const sample = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (-?[\d.e+-]+|NaN|[+-]Inf)$/i.exec(line);
    if (!sample) throw new Error(`not a sample: ${line}`);
    const labels = [...(sample[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
    samples.push({
      name: sample[1]!,
      labels: Object.fromEntries(labels.map(([, key, value]) => [key, value])),
      value: Number(sample[3]),
    });
  }
  return { samples, types };
}

/** A message of a stranger, with a number in every name. */
function write(n: number): Uint8Array {
  const writer = new FrameWriter();
  const kind = n % 2 === 0 ? KINDS.request : KINDS.event;
  const common = { id: `id${n}`, sender: `stranger${n}`, sentAt: Date.now() * 1_000 };
  writer.write({ kind, ...common, name: `name${n}`, payload: encodePayload(n), seq: n });
  return writer.take();
}

async function get(base: string | undefined, path: string) {
  const response = await fetch(`${base}${path}`);
  return { status: response.status, text: await response.text(), type: response.headers };
}

async function served() {
  const mesh = await meshes.join({ http: {} });
  const hosted = await mesh.host(Echo, { echo: (input) => input });
  const caller = await meshes.join();
  await caller.waitFor(Echo);
  return { mesh, hosted, caller, url: hosted.info.http };
}

test("/metrics is well-formed and counts requests, events and Node's own figures", async () => {
  const { mesh, caller, url } = await served();
  await caller.get(Echo).echo(1);
  const got = gate();
  await mesh.subscribe(News, () => got.open());
  await caller.publish(News, 1);
  await got.opened;
  const { status, text, type } = await get(url, "/metrics");
  expect(status).toBe(200);
  expect(type.get("content-type")).toContain("version=0.0.4");
  const { samples, types } = parse(text);
  const value = (name: string, labels: Record<string, string> = {}) =>
    samples.find(
      (sample) =>
        sample.name === name &&
        Object.entries(labels).every(([key, label]) => sample.labels[key] === label),
    )?.value;
  const call = { agent: "echo", capability: "echo", side: "server" };
  expect(value("plexus_requests_total", { ...call, outcome: "ok" })).toBe(1);
  expect(value("plexus_request_duration_seconds_count", call)).toBe(1);
  expect(value("plexus_events_received_total", { topic: "news" })).toBe(1);
  expect(value("plexus_registry_instances", { agent: "echo" })).toBe(1);
  expect(value("plexus_inflight", { agent: "echo" })).toBe(0);
  expect(value("plexus_connected")).toBe(1);
  expect(value("process_cpu_seconds_total")).toBeGreaterThan(0);
  expect(value("nodejs_eventloop_lag_seconds")).toBeGreaterThanOrEqual(0);
  expect(types.get("plexus_request_duration_seconds")).toBe("histogram");
});

test("a histogram's buckets only grow, and the last one is the count", async () => {
  const { caller, url } = await served();
  await inTurn(upTo(50), (n) => caller.get(Echo).echo(n));
  const { samples } = parse((await get(url, "/metrics")).text);
  const buckets = samples.filter(
    ({ name, labels }) =>
      name === "plexus_request_duration_seconds_bucket" && labels["side"] === "server",
  );
  const values = buckets.map(({ value }) => value);
  expect(values).toEqual(values.toSorted((a, b) => a - b));
  expect(buckets.at(-1)).toMatchObject({ labels: { le: "+Inf" }, value: 50 });
});

test("what strangers send makes no new labels", async () => {
  const { mesh, caller, url } = await served();
  await caller.get(Echo).echo(1);
  await mesh.subscribe(News, () => undefined);
  const series = async () => {
    const { samples } = parse((await get(url, "/metrics")).text);
    return samples.filter(({ name }) => name.startsWith("plexus_")).length;
  };
  const nats = await meshes.nats();
  const send = async (from: number) => {
    for (let n = from; n < from + 500; n++) {
      nats.publish(`${meshes.name}.rpc.echo.unknown${n}`, write(n));
      nats.publish(`${meshes.name}.evt.news`, write(n));
    }
    await nats.flush();
    await caller.get(Echo).echo(1);
  };
  await send(0);
  const before = await series();
  await send(500);
  expect(await series()).toBe(before);
  const { samples } = parse((await get(url, "/metrics")).text);
  const unknown = samples.find(
    ({ name, labels }) =>
      name === "plexus_bad_messages_total" && labels["code"] === "NO_CAPABILITY",
  );
  expect(unknown?.value).toBe(500); // the odd ones are no requests
  expect(JSON.stringify(samples)).not.toMatch(/stranger|unknown\d|name\d/);
});

test("/livez answers always, /readyz while there is something to serve", async () => {
  const { mesh, hosted, caller, url } = await served();
  expect(await get(url, "/livez")).toMatchObject({ status: 200, text: "ok\n" });
  const ready = await get(url, "/readyz?verbose");
  expect(ready.status).toBe(200);
  expect(JSON.parse(ready.text)).toEqual({
    ready: true,
    connected: true,
    registered: true,
    draining: false,
  });
  expect((await get(url, "/else")).status).toBe(404);
  const release = gate();
  const Slow = agent("slow", { capabilities: { wait: Any } });
  const slow = await mesh.host(Slow, { wait: () => release.opened });
  await caller.waitFor(Slow);
  const call = caller.get(Slow).wait(0);
  await expect.poll(() => caller.inspect(slow.info.instance)).toMatchObject({ running: 1 });
  const draining = slow.drain();
  const state = async () => {
    const { status, text } = await get(url, "/readyz");
    return { status, ...(JSON.parse(text) as object) };
  };
  await expect.poll(state).toMatchObject({ status: 503, draining: true });
  release.open();
  await Promise.all([draining, call]);
  await expect.poll(state).toMatchObject({ status: 200, ready: true });
  await hosted.drain();
  expect(await state()).toMatchObject({ status: 503, registered: false });
  await mesh.close();
  await expect(get(url, "/livez")).rejects.toThrow("fetch failed");
});

test("/readyz says so when the broker is away", async () => {
  await using proxy = await startProxy({ target: meshes.broker.url });
  const mesh = await meshes.join({ servers: proxy.url, http: { host: "127.0.0.1" } });
  const { info } = await mesh.host(Echo, { echo: () => 0 });
  await proxy.cut();
  const state = async () => {
    const { status, text } = await get(info.http, "/readyz");
    return { status, ...(JSON.parse(text) as object) };
  };
  await expect.poll(state).toMatchObject({ status: 503, connected: false });
  expect((await get(info.http, "/livez")).status).toBe(200);
  await proxy.heal();
  await expect.poll(state, { timeout: 10_000 }).toMatchObject({ status: 200, connected: true });
  await mesh.close();
});

test("a server on all addresses is told to others by the name of its host", async () => {
  const mesh = await meshes.join({ http: { host: "0.0.0.0" } });
  const { info } = await mesh.host(Echo, { echo: () => 0 });
  expect(new URL(info.http!).hostname).toBe(hostname().toLowerCase());
  expect((await get(`http://127.0.0.1:${new URL(info.http!).port}`, "/livez")).status).toBe(200);
});

test("a port that is taken is refused with what is wrong", async () => {
  const { url } = await served();
  const port = Number(new URL(url!).port);
  const mesh = await meshes.join({ http: { port } });
  const hosting = mesh.host(Echo, { echo: () => 0 });
  await expect(hosting).rejects.toMatchObject({ code: "INVALID_CONTRACT" });
  await expect(hosting).rejects.toThrow(new RegExp(`${port}.*EADDRINUSE`));
});
