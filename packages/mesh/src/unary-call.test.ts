import {
  KINDS,
  FrameWriter,
  MeshError,
  agent,
  decodePayload,
  encodePayload,
  readFrame,
} from "@plexus/core";
import type { Envelope } from "@plexus/core";
import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { fired, gate, metric, upTo, useMeshes } from "../../../test/support/mesh.ts";
import type { Call } from "./client.ts";
import type { Context } from "./context.ts";

const meshes = useMeshes({ maxPayload: 256 * 1024 });

const Calc = agent("calc", {
  capabilities: {
    add: { input: z.object({ a: z.number(), b: z.number().default(1) }), output: z.number() },
    date: { input: z.string().transform((text) => new Date(text)), output: z.date() },
    whatever: { input: z.unknown(), output: z.unknown() },
    wait: { input: z.unknown(), output: z.unknown(), timeout: "100ms" },
    retried: { input: z.unknown(), output: z.unknown(), idempotent: true },
  },
});

type Handler = (input: unknown, context: Context) => unknown;

/** Handlers of Calc; `whatever`, `wait` and `retried` do what the test says. */
function handlers(handle: Handler = (input) => input) {
  return {
    add: ({ a, b }: { a: number; b: number }) => a + b,
    date: (date: Date) => date,
    whatever: handle,
    wait: handle,
    retried: handle,
  };
}

const sleepUntilCanceled: Handler = async (_input, { signal }) => {
  await fired(signal);
  throw signal.reason;
};

async function pair(handle?: Handler, options = {}) {
  const host = await meshes.join({ name: "host" });
  const hosted = await host.host(Calc, handlers(handle), options);
  const caller = await meshes.join({ name: "caller" });
  return { host, hosted, caller, calc: caller.get(Calc) };
}

const code = (expected: string) => expect.objectContaining({ name: "MeshError", code: expected });

describe("the contract", () => {
  test("a client has the types of its contract", async () => {
    const { calc } = await pair();
    expectTypeOf(calc.add).parameter(0).toEqualTypeOf<{ a: number; b?: number | undefined }>();
    expectTypeOf(calc.add({ a: 1 })).resolves.toEqualTypeOf<number>();
    expectTypeOf(calc.date).parameter(0).toEqualTypeOf<string>();
    expectTypeOf(calc.date("2020-01-01")).resolves.toEqualTypeOf<Date>();
    expectTypeOf<keyof typeof calc>().toEqualTypeOf<
      "add" | "date" | "whatever" | "wait" | "retried"
    >();
    expectTypeOf<Call<(typeof Calc)["capabilities"]["add"]>>().not.toHaveProperty("stream");
    // @ts-expect-error: a is a number
    await expect(calc.add({ a: "1" })).rejects.toThrow(MeshError);
  });

  test("a call gives what the handler returns", async () => {
    const { calc } = await pair();
    expect(await calc.add({ a: 2, b: 3 })).toBe(5);
  });

  test("defaults and transforms of the input's schema run before the handler", async () => {
    const { calc } = await pair();
    expect(await calc.add({ a: 2 })).toBe(3);
    expect(await calc.date("2020-02-29")).toEqual(new Date("2020-02-29"));
  });

  test("values arrive as what they were", async () => {
    const { calc } = await pair();
    const value = {
      date: new Date(5),
      big: 2n ** 70n,
      bytes: new Uint8Array([1, 2, 3]),
      map: new Map([["k", new Set([1, 2])]]),
      nothing: null,
      list: [1.5, -1, "ü", true],
    };
    const echo = (await calc.whatever(value)) as typeof value;
    expect({ ...echo, bytes: new Uint8Array(echo.bytes) }).toEqual(value);
    expect(echo.bytes).toBeInstanceOf(Uint8Array);
    expect(await calc.whatever(undefined)).toBeUndefined();
  });

  test("an input outside the schema is refused before the handler runs", async () => {
    const { calc } = await pair();
    const refused = calc.add({ a: "one" } as unknown as { a: number });
    await expect(refused).rejects.toEqual(code("INVALID_INPUT"));
    await expect(refused).rejects.toThrow(/calc\.add: a: .*number/);
    await expect(refused).rejects.toHaveProperty("details.0.path", ["a"]);
  });

  test("an output outside the schema is an error, not a value", async () => {
    const host = await meshes.join();
    await host.host(Calc, { ...handlers(), add: () => "five" as unknown as number });
    const caller = await meshes.join();
    await expect(caller.get(Calc).add({ a: 1 })).rejects.toEqual(code("INVALID_OUTPUT"));
  });

  test("an agent is called by name without its contract", async () => {
    const { caller } = await pair();
    expect(await caller.invoke("calc", "add", { a: 2, b: 5 })).toBe(7);
    await expect(caller.invoke("calc", "add", {})).rejects.toEqual(code("INVALID_INPUT"));
    await expect(caller.invoke("calc", "sub", {})).rejects.toEqual(code("NO_CAPABILITY"));
    await expect(caller.invoke("nobody", "add", {})).rejects.toEqual(code("NO_AGENT"));
  });

  test("a capability that no live instance offers is told from an agent that is not there", async () => {
    const { hosted, caller, calc } = await pair();
    const Newer = agent("calc", {
      capabilities: { sub: { input: z.unknown(), output: z.unknown() } },
    });
    await expect(caller.get(Newer).sub(1)).rejects.toEqual(code("NO_CAPABILITY"));
    await hosted.drain();
    await expect.poll(() => caller.agents(Calc).length).toBe(0);
    await expect(calc.add({ a: 1 })).rejects.toEqual(code("NO_AGENT"));
    await expect(calc.add({ a: 1 })).rejects.toMatchObject({ retryable: true });
  });
});

describe("time", () => {
  test("a capability's own timeout applies when the caller names none", async () => {
    const { calc } = await pair(sleepUntilCanceled);
    await expect(calc.wait(0)).rejects.toEqual(code("TIMEOUT"));
  });

  test("a call's timeout beats the capability's", async () => {
    const Patient = agent("patient", {
      capabilities: { wait: { input: z.unknown(), output: z.unknown(), timeout: "1h" } },
    });
    const host = await meshes.join();
    await host.host(Patient, { wait: sleepUntilCanceled });
    const caller = await meshes.join();
    const calc = caller.get(Patient);
    const started = performance.now();
    await expect(calc.wait(0, { timeout: 20 })).rejects.toEqual(code("TIMEOUT"));
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  test("a call that is out of time names the time that was asked for", async () => {
    const { calc } = await pair(sleepUntilCanceled);
    const late = await Promise.all(
      upTo(20).map(async (n) => {
        const error = await calc
          .whatever(0, { timeout: 20 + n })
          .catch((reason: unknown) => reason);
        return [20 + n, error as MeshError] as const;
      }),
    );
    // The host may have been the first to say so.
    const named = late.filter(([, error]) => error.code !== "DEADLINE_EXCEEDED");
    expect(named).not.toEqual([]);
    for (const [asked, error] of named) {
      expect(error.message).toBe(`calc.whatever did not answer within ${asked} ms.`);
    }
  });

  test("a handler knows how much time is left", async () => {
    const { calc } = await pair((_input, context) => context.timeLeftMs);
    const short = (await calc.whatever(0, { timeout: "5s" })) as number;
    expect(short).toBeGreaterThan(0);
    expect(short).toBeLessThanOrEqual(5_001);
    const byDefault = (await calc.whatever(0)) as number;
    expect(byDefault).toBeGreaterThan(5_001);
    expect(byDefault).toBeLessThanOrEqual(30_001);
  });

  test("a caller that gives up cancels the handler", async () => {
    const began = gate();
    const canceled = gate();
    const { calc } = await pair(async (_input, { signal }) => {
      began.open();
      await fired(signal);
      canceled.open();
    });
    const controller = new AbortController();
    const call = calc.whatever(0, { signal: controller.signal });
    await began.opened;
    controller.abort(new Error("changed my mind"));
    await expect(call).rejects.toEqual(code("CANCELED"));
    await expect(call).rejects.toThrow(/changed my mind/);
    await canceled.opened;
  });

  test("a caller that has given up already sends nothing", async () => {
    let ran = 0;
    const { calc } = await pair(() => ++ran);
    await expect(calc.whatever(0, { signal: AbortSignal.abort() })).rejects.toEqual(
      code("CANCELED"),
    );
    await calc.add({ a: 1 });
    expect(ran).toBe(0);
  });

  test("the caller's timeout fires the handler's signal", async () => {
    const canceled = gate();
    const { calc } = await pair(async (_input, { signal }) => {
      await fired(signal);
      canceled.open();
    });
    await expect(calc.whatever(0, { timeout: 50 })).rejects.toEqual(code("TIMEOUT"));
    await canceled.opened;
  });

  test("a call that is canceled while it waits for a slot never runs", async () => {
    const release = gate();
    const ran: unknown[] = [];
    const { hosted, caller, calc } = await pair(
      async (input) => {
        ran.push(input);
        await release.opened;
      },
      { concurrency: 1 },
    );
    const first = calc.whatever("first");
    await expect.poll(() => ran).toEqual(["first"]);
    const controller = new AbortController();
    const second = calc.whatever("second", { signal: controller.signal });
    const queued = async () => (await caller.inspect(hosted.info.instance)).queued;
    await expect.poll(queued).toBe(1);
    controller.abort();
    await expect(second).rejects.toEqual(code("CANCELED"));
    const third = calc.whatever("third");
    await caller.inspect(hosted.info.instance); // the cancel is before it on the same subject
    release.open();
    await Promise.all([first, third]);
    expect(ran).toEqual(["first", "third"]);
  });

  test("a call whose deadline passes while it waits for a slot never runs", async () => {
    const release = gate();
    const ran: unknown[] = [];
    const { hosted, caller, calc } = await pair(
      async (input) => {
        ran.push(input);
        await release.opened;
      },
      { concurrency: 1 },
    );
    const first = calc.whatever("first");
    await expect.poll(() => ran).toEqual(["first"]);
    await expect(calc.whatever("late", { timeout: 50 })).rejects.toEqual(code("TIMEOUT"));
    await caller.inspect(hosted.info.instance); // the deadline is over there as well
    release.open();
    await first;
    await calc.whatever("next");
    expect(ran).toEqual(["first", "next"]);
  });

  test("a call may be given more time than there is", async () => {
    const { calc } = await pair();
    expect(await calc.add({ a: 1 }, { timeout: Number.MAX_SAFE_INTEGER })).toBe(2);
  });

  test("an option that is no duration is refused", async () => {
    const { calc } = await pair();
    const timeout = "soon" as `${number}s`;
    await expect(calc.add({ a: 1 }, { timeout })).rejects.toEqual(code("INVALID_CONTRACT"));
  });
});

describe("failures of the handler", () => {
  const thrown: [string, unknown, RegExp][] = [
    ["an Error", new TypeError("no such window"), /TypeError: no such window/],
    ["a string", "just text", /just text/],
    ["undefined", undefined, /undefined/],
    ["an object that has no text", Object.create(null), /threw/],
    ["a symbol", Symbol("odd"), /odd/],
  ];
  test.each(thrown)("%s becomes AGENT_FAILED, and the host goes on", async (_what, value, text) => {
    const { calc } = await pair(
      async (input) => {
        if (input === "async") await Promise.resolve();
        throw value;
      },
      { concurrency: 1 },
    );
    const failed = calc.whatever("async");
    await expect(failed).rejects.toEqual(code("AGENT_FAILED"));
    await expect(failed).rejects.toThrow(text);
    await expect(failed).rejects.toMatchObject({ retryable: false });
    expect(await calc.add({ a: 1, b: 1 })).toBe(2);
  });

  test("a handler that throws before it awaits fails its call alone", async () => {
    const { calc } = await pair(() => {
      throw new Error("at once");
    });
    await expect(calc.whatever(0)).rejects.toThrow(/at once/);
    expect(await calc.add({ a: 1, b: 1 })).toBe(2);
  });

  test("a MeshError passes through as it is", async () => {
    const { calc } = await pair(() => {
      throw new MeshError("CONFLICT", "someone was first", {
        retryable: false,
        details: { by: 7 },
      });
    });
    await expect(calc.whatever(0)).rejects.toMatchObject({
      code: "CONFLICT",
      message: "someone was first",
      retryable: false,
      details: { by: 7 },
    });
  });

  test("an error keeps its code when its details cannot travel", async () => {
    const { calc } = await pair(() => {
      throw new MeshError("CONFLICT", "someone was first", { details: { how: () => 1 } });
    });
    await expect(calc.whatever(0)).rejects.toMatchObject({
      code: "CONFLICT",
      message: "someone was first",
    });
  });

  test("a thenable is awaited like a promise", async () => {
    const { calc } = await pair(() => ({
      // oxlint-disable-next-line unicorn/no-thenable
      then: (resolve: (value: number) => void) => setTimeout(() => resolve(42), 1),
    }));
    expect(await calc.whatever(0)).toBe(42);
  });
});

describe("values that cannot travel", () => {
  test("an input that cannot be encoded is refused here, with its path", async () => {
    const { calc } = await pair();
    const refused = calc.whatever({ deep: [() => 1] });
    await expect(refused).rejects.toEqual(code("UNENCODABLE"));
    await expect(refused).rejects.toThrow(/value\.deep\[0\]/);
  });

  test("an output that cannot be encoded is an error at the caller", async () => {
    const { calc } = await pair(() => ({ socket: new URL("tcp://localhost") }));
    const failed = calc.whatever(0);
    await expect(failed).rejects.toEqual(code("UNENCODABLE"));
    await expect(failed).rejects.toThrow(/value\.socket/);
  });

  test("an input over the broker's limit is refused before sending", async () => {
    let ran = 0;
    const { calc } = await pair(() => ++ran);
    const refused = calc.whatever("x".repeat(300_000));
    await expect(refused).rejects.toEqual(code("MESSAGE_TOO_LARGE"));
    await expect(refused).rejects.toThrow(/300\d* bytes.*262144/);
    expect(await calc.whatever(0)).toBe(1);
  });

  test("an output over the broker's limit is an error at the caller", async () => {
    const { calc } = await pair((input) => "x".repeat(input as number));
    await expect(calc.whatever(300_000)).rejects.toEqual(code("MESSAGE_TOO_LARGE"));
    expect(await calc.whatever(200_000)).toHaveLength(200_000);
  });

  test("many calls of one turn that do not fit one message together go in several", async () => {
    const { calc } = await pair((input) => (input as string).length);
    const calls = Array.from({ length: 20 }, () => calc.whatever("x".repeat(60_000)));
    expect(await Promise.all(calls)).toEqual(calls.map(() => 60_000));
  });
});

describe("limits of the host", () => {
  test("no more handlers run than the concurrency allows, and all calls are answered", async () => {
    let running = 0;
    let most = 0;
    const { calc } = await pair(
      async () => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve, 1));
        running--;
      },
      { concurrency: 3, queue: 1_000 },
    );
    await Promise.all(Array.from({ length: 500 }, () => calc.whatever(0)));
    expect(most).toBe(3);
  });

  test("a full instance answers OVERLOADED at once, and nothing has run", async () => {
    const release = gate();
    let ran = 0;
    const { hosted, caller, calc } = await pair(
      async () => {
        ran++;
        await release.opened;
      },
      { concurrency: 2, queue: 1 },
    );
    const accepted = [1, 2, 3].map((n) => calc.whatever(n));
    const report = () => caller.inspect(hosted.info.instance);
    await expect.poll(report).toMatchObject({ running: 2, queued: 1 });
    const refused = calc.whatever(4);
    await expect(refused).rejects.toEqual(code("OVERLOADED"));
    await expect(refused).rejects.toMatchObject({ retryable: true });
    release.open();
    await Promise.all(accepted);
    expect(ran).toBe(3);
  });

  test("a call that one instance refuses is answered by another, idempotent or not", async () => {
    const release = gate();
    const full = await meshes.join({ name: "full" });
    const free = await meshes.join({ name: "free" });
    const caller = await meshes.join();
    const stuck = handlers(async () => {
      await release.opened;
      return "full";
    });
    await full.host(Calc, stuck, { concurrency: 1, queue: 0 });
    await expect.poll(() => caller.agents(Calc).length).toBe(1);
    const calc = caller.get(Calc, { placement: "roundRobin" });
    const first = calc.whatever(0);
    await free.host(
      Calc,
      handlers(() => "free"),
    );
    await caller.waitFor(Calc, { instances: 2 });
    const rest = await Promise.all(Array.from({ length: 10 }, () => calc.whatever(1)));
    expect(new Set(rest)).toEqual(new Set(["free"]));
    expect(await metric(caller, "plexus_retries_total", { reason: "overloaded" })).toBeGreaterThan(
      0,
    );
    release.open();
    expect(await first).toBe("full");
  });

  test("an attempt that takes too long is repeated elsewhere when that is safe", async () => {
    const canceled = gate();
    let ran = 0;
    const handle: Handler = async (_input, { signal }) => {
      if (++ran > 1) return "second";
      await fired(signal);
      canceled.open();
      return "first";
    };
    const { host, caller, calc } = await pair(handle);
    await host.host(Calc, handlers(handle));
    await caller.waitFor(Calc, { instances: 2 });
    expect(await calc.retried(0, { attemptTimeout: 50 })).toBe("second");
    await canceled.opened;
    expect(await metric(caller, "plexus_retries_total", { reason: "attempt_timeout" })).toBe(1);
  });

  test("an attempt that takes too long stands when the call must not run twice", async () => {
    const { host, caller, calc } = await pair(async (_input, { signal }) => {
      await Promise.race([fired(signal), new Promise((resolve) => setTimeout(resolve, 60))]);
      return signal.aborted;
    });
    await host.host(Calc, handlers());
    await caller.waitFor(Calc, { instances: 2 });
    expect(await calc.whatever(false, { attemptTimeout: 10 })).toBe(false);
    expect(await metric(caller, "plexus_retries_total")).toBe(0);
  });
});

/** Sends one envelope to a subject and reads the one that answers. */
async function ask(
  subject: string,
  fields: { kind?: number; name?: string; payload?: unknown } = {},
): Promise<Envelope> {
  const nats = await meshes.nats();
  const writer = new FrameWriter();
  writer.write({
    kind: (fields.kind ?? KINDS.request) as typeof KINDS.request,
    id: "01J00000000000000000000000",
    sender: "stranger",
    name: fields.name ?? "add",
    sentAt: Date.now() * 1_000,
    payload: encodePayload(fields.payload ?? { a: 1, b: 2 }),
  });
  const message = await nats.request(subject, writer.take(), { timeout: 5_000 });
  let answer: Envelope | undefined;
  readFrame(message.data, (envelope) => {
    answer = envelope;
  });
  return answer!;
}

describe("a plain NATS client", () => {
  test("gets its answer from any instance through the queue group", async () => {
    await pair();
    const answer = await ask(`${meshes.name}.rpc.calc.add`);
    expect(answer.kind).toBe(KINDS.response);
    expect(answer.id).toBe("01J00000000000000000000000");
    expect(decodePayload(answer.payload)).toBe(3);
  });

  test("gets a coded answer to a bad input, an unknown capability and a wrong kind", async () => {
    await pair();
    const invalid = await ask(`${meshes.name}.rpc.calc.add`, { payload: "no" });
    expect(decodePayload(invalid.payload)).toMatchObject({ code: "INVALID_INPUT" });
    const unknown = await ask(`${meshes.name}.rpc.calc.sub`);
    expect(decodePayload(unknown.payload)).toMatchObject({ code: "NO_CAPABILITY" });
    const wrong = await ask(`${meshes.name}.rpc.calc.add`, { kind: KINDS.event });
    expect(wrong.kind).toBe(KINDS.error);
    expect(decodePayload(wrong.payload)).toMatchObject({ code: "BAD_MESSAGE" });
  });

  test("gets a coded answer to bytes that are no envelope", async () => {
    await pair();
    const nats = await meshes.nats();
    const message = await nats.request(`${meshes.name}.rpc.calc.add`, "hello", { timeout: 5_000 });
    const answers: unknown[] = [];
    readFrame(message.data, (envelope) => answers.push(decodePayload(envelope.payload)));
    expect(answers).toMatchObject([{ code: "BAD_MESSAGE" }]);
  });
});

describe("the books", () => {
  test("calls are counted on both sides by outcome", async () => {
    const { host, caller, calc } = await pair();
    await calc.add({ a: 1 });
    await calc.add({ a: 1 });
    await calc.add({ a: "x" } as never).catch(() => undefined);
    const labels = { agent: "calc", capability: "add" };
    const requests = (mesh: typeof host, side: string, outcome: string) =>
      metric(mesh, "plexus_requests_total", { ...labels, side, outcome });
    expect(await requests(caller, "client", "ok")).toBe(2);
    expect(await requests(caller, "client", "INVALID_INPUT")).toBe(1);
    expect(await requests(host, "server", "ok")).toBe(2);
    expect(await requests(host, "server", "INVALID_INPUT")).toBe(1);
  });
});
