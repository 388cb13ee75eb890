import { agent, topic } from "@plexus/core";
import { expect, test } from "vitest";
import { z } from "zod";
import { fired, gate, useMeshes } from "../../../test/support/mesh.ts";
import type { CallOptions } from "./route.ts";
import type { Context } from "./context.ts";

const meshes = useMeshes();

const Any = { input: z.unknown(), output: z.unknown() };
const Outer = agent("outer", { capabilities: { run: Any } });
const Inner = agent("inner", { capabilities: { run: Any } });
const Notes = topic("notes", { schema: z.string() });

type Handle = (input: unknown, context: Context) => unknown;

/** A caller, an outer agent that calls an inner one with these options, and the inner one. */
async function chain(inner: Handle, options: CallOptions = {}, before: Handle = () => undefined) {
  const hosts = await Promise.all([meshes.join(), meshes.join(), meshes.join()]);
  const [innerHost, outerHost, caller] = hosts;
  await innerHost.host(Inner, { run: inner });
  await outerHost.waitFor(Inner);
  await outerHost.host(Outer, {
    run: async (input, context) => {
      await before(input, context);
      return outerHost.get(Inner).run(input, options);
    },
  });
  await caller.waitFor(Outer);
  return { innerHost, outerHost, caller, outer: caller.get(Outer) };
}

test("a nested call inherits the deadline", async () => {
  const { outer } = await chain((_input, context) => context.timeLeftMs);
  const left = (await outer.run(0, { timeout: "3s" })) as number;
  expect(left).toBeGreaterThan(0);
  expect(left).toBeLessThanOrEqual(3_001);
});

test("a nested call may have less time than its caller, never more", async () => {
  const { outer } = await chain((_input, context) => context.timeLeftMs, { timeout: "1s" });
  expect(await outer.run(0, { timeout: "5s" })).toBeLessThanOrEqual(1_001);
  const { outer: greedy } = await chain((_i, context) => context.timeLeftMs, { timeout: "1h" });
  expect(await greedy.run(0, { timeout: "5s" })).toBeLessThanOrEqual(5_001);
});

test("canceling a call cancels what its handler has called", async () => {
  const began = gate();
  const canceled = gate();
  const { outer } = await chain(async (_input, { signal }) => {
    began.open();
    await fired(signal);
    canceled.open();
  });
  const controller = new AbortController();
  const call = outer.run(0, { signal: controller.signal });
  await began.opened;
  controller.abort();
  await expect(call).rejects.toMatchObject({ code: "CANCELED" });
  await canceled.opened;
});

test("the deadline of a call fires the signals all the way down", async () => {
  const canceled = gate();
  const { outer } = await chain(async (_input, { signal }) => {
    await fired(signal);
    canceled.open();
  });
  await expect(outer.run(0, { timeout: 100 })).rejects.toMatchObject({ code: "TIMEOUT" });
  await canceled.opened;
});

test("a detached call has neither the deadline nor the cancellation of its handler", async () => {
  const began = gate();
  const release = gate();
  const finished = gate();
  const { outer } = await chain(
    async (_input, context) => {
      expect(context.timeLeftMs).toBeGreaterThan(10_000);
      began.open();
      await release.opened;
      expect(context.signal.aborted).toBe(false);
      finished.open();
    },
    { detached: true },
  );
  const controller = new AbortController();
  const call = outer.run(0, { signal: controller.signal, timeout: "2s" });
  await began.opened;
  controller.abort();
  await expect(call).rejects.toMatchObject({ code: "CANCELED" });
  release.open();
  await finished.opened;
});

test("a detached call works also after its handler was canceled: to clean up", async () => {
  const began = gate();
  const cleaned = gate();
  const { outer } = await chain(
    () => cleaned.open(),
    { detached: true },
    async (_input, context) => {
      began.open();
      await fired(context.signal);
    },
  );
  const controller = new AbortController();
  const call = outer.run(0, { signal: controller.signal });
  await began.opened;
  controller.abort();
  await expect(call).rejects.toMatchObject({ code: "CANCELED" });
  await cleaned.opened;
});

test("a call that is made after its handler was canceled is canceled at once", async () => {
  let ran = 0;
  const began = gate();
  const result = Promise.withResolvers<unknown>();
  const { outerHost, outer } = await chain(
    () => ++ran,
    {},
    async (_input, context) => {
      began.open();
      await fired(context.signal);
      result.resolve(
        await outerHost
          .get(Inner)
          .run(0)
          .catch((error: unknown) => error),
      );
    },
  );
  const controller = new AbortController();
  const call = outer.run(0, { signal: controller.signal });
  await began.opened;
  controller.abort();
  await expect(call).rejects.toMatchObject({ code: "CANCELED" });
  expect(await result.promise).toMatchObject({ code: "CANCELED" });
  expect(ran).toBe(0);
});

test("one trace goes through calls and the events that handlers publish", async () => {
  const traces: Record<string, string> = {};
  const { innerHost, outerHost, outer } = await chain(
    async (_input, context) => {
      traces["inner"] = context.traceId;
      await innerHost.publish(Notes, "done");
    },
    {},
    (_input, context) => {
      traces["outer"] = context.traceId;
    },
  );
  const noted = gate();
  await outerHost.subscribe(Notes, (_value, context) => {
    traces["event"] = context.traceId;
    noted.open();
  });
  await outer.run(0);
  await noted.opened;
  expect(traces["outer"]).toMatch(/^[0-9a-f]{32}$/);
  expect(traces["inner"]).toBe(traces["outer"]);
  expect(traces["event"]).toBe(traces["outer"]);
});

test("each root call has a trace of its own", async () => {
  const { outer } = await chain((_input, context) => context.traceId);
  expect(await outer.run(0)).not.toBe(await outer.run(0));
});

test("a handler knows who called it and under which id", async () => {
  const { outerHost, outer } = await chain((_input, { sender, id }) => ({ sender, id }));
  const seen = (await outer.run(0)) as { sender: string; id: string };
  expect(seen.sender).toBe(outerHost.client);
  expect(seen.id).toMatch(/^[0-9A-HJKMNP-TV-Z]{26}$/);
});

test("calls beside each other keep their scopes apart", async () => {
  const { outer } = await chain((input, context) => [input, context.timeLeftMs! > 5_000]);
  const calls = Array.from({ length: 50 }, (_, i) =>
    outer.run(i, { timeout: i % 2 === 0 ? "1s" : "9s" }),
  );
  expect(await Promise.all(calls)).toEqual(calls.map((_, i) => [i, i % 2 === 1]));
});

test("a streaming handler's calls are in its scope, too", async () => {
  const Streaming = agent("streaming", { capabilities: { run: { ...Any, stream: z.unknown() } } });
  const { outerHost, caller } = await chain((_input, context) => context.timeLeftMs);
  await outerHost.host(Streaming, {
    run: async function* () {
      yield await outerHost.get(Inner).run(0);
      yield await outerHost.get(Inner).run(0);
    },
  });
  await caller.waitFor(Streaming);
  for await (const left of caller.get(Streaming).run.stream(0, { timeout: "4s" })) {
    expect(left).toBeLessThanOrEqual(4_001);
  }
});
