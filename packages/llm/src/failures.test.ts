import { MeshError } from "@plexus/core";
import type { ModelServer, StubBehaviour } from "@plexus/testing";
import { beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { countingFleet, deployment, useModels } from "../../../test/support/models.ts";
import { FAILURES, type FailureKind } from "./failure.ts";
import type { Models } from "./models.ts";

const models = useModels();

let main: ModelServer;
let other: ModelServer;
let fleet: ReturnType<typeof countingFleet>;

beforeEach(async () => {
  main = await models.server();
  other = await models.server();
  fleet = countingFleet();
});

/** `main` alone, or with `other` to fall back to. */
function open(withOther: boolean): Promise<Models> {
  return models.open({
    fleet,
    groups: {
      desk: { deployments: [deployment(main)], fallback: withOther ? ["spare"] : [], attempts: 2 },
      ...(withOther ? { spare: { deployments: [deployment(other, { id: "other" })] } } : {}),
    },
  });
}

const schema = z.object({ score: z.number().min(0).max(1) });
const ask = { prompt: "How is the market?", maxTokens: 100 };

async function read(texts: AsyncIterable<string>): Promise<string> {
  let all = "";
  for await (const text of texts) all += text;
  return all;
}

/** How each kind of failure is brought about: what the stub does, and what kind of call meets it. */
const rows: [FailureKind, StubBehaviour, ((llm: Models) => Promise<unknown>)?][] = [
  ["auth", { kind: "status", status: 401 }],
  ["rateLimit", { kind: "status", status: 429, retryAfter: "30" }],
  ["server", { kind: "status", status: 503 }],
  ["network", { kind: "reset" }],
  ["timeout", { kind: "stall" }],
  ["deadline", { kind: "stall" }, (llm) => llm.generate("desk", ask, { timeout: 50 })],
  ["malformed", { kind: "html" }],
  ["malformed", { kind: "invalidJson" }],
  [
    "structure",
    { kind: "reply", json: { score: 7 }, usage: { inputTokens: 10, outputTokens: 5 } },
    (llm) => llm.object("desk", { ...ask, schema }),
  ],
  ["stream", { kind: "streamError", afterChunks: 2 }, (llm) => read(llm.stream("desk", ask))],
  ["stall", { kind: "stall", afterChunks: 2 }, (llm) => read(llm.stream("desk", ask))],
  [
    "aborted",
    { kind: "stall" },
    (llm) => llm.generate("desk", ask, { signal: AbortSignal.timeout(50) }),
  ],
  ["request", { kind: "status", status: 400 }],
];

const generate = (llm: Models) => llm.generate("desk", ask);
const spent = (model: string) => fleet.count("plexus_llm_cost_usd_total", { model });

describe.each(rows)("a failure of kind %s (%o)", (kind, behaviour, call = generate) => {
  const rule = FAILURES[kind];

  test(`is told as ${rule.code}`, async () => {
    main.always(behaviour);
    const llm = await open(false);
    const error: unknown = await call(llm).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(MeshError);
    expect(error).toMatchObject({ code: rule.code, details: { kind, model: "main" } });
    expect(fleet.count("plexus_llm_calls_total", { group: "desk", outcome: rule.code })).toBe(1);
  });

  test(`is ${rule.retry ? "" : "not "}tried again where there is nobody else`, async () => {
    main.always(behaviour);
    const llm = await open(false);
    await call(llm).catch(() => undefined);
    // What has been read of a stream cannot be taken back; a repair is a second request, but no second attempt.
    const begun = kind === "stream" || kind === "stall";
    const requests = kind === "structure" ? 2 : rule.retry && !begun ? 2 : 1;
    expect(main.count).toBe(requests);
  });

  test(`is ${rule.fallback ? "" : "not "}answered by another deployment`, async () => {
    main.always(behaviour);
    other.always({ kind: "reply", json: { score: 0.5 } });
    const llm = await open(true);
    const outcome = await call(llm).then(
      () => "answered",
      () => "failed",
    );
    const begun = kind === "stream" || kind === "stall";
    expect(outcome).toBe(rule.fallback && !begun ? "answered" : "failed");
    expect(other.count).toBe(outcome === "answered" ? 1 : 0);
  });

  test(`is charged ${rule.charge}`, async () => {
    main.always(behaviour);
    const llm = await open(false);
    await call(llm).catch(() => undefined);
    // Two answers of 10 tokens in and 5 out: both were given, and the provider counts both.
    const least = { nothing: 0, usage: 2 * 20e-6, estimate: 1e-6 }[rule.charge];
    const most = { nothing: 0, usage: 2 * 20e-6, estimate: 1e-3 }[rule.charge];
    expect(spent("main")).toBeGreaterThanOrEqual(least);
    expect(spent("main")).toBeLessThanOrEqual(most + 1e-12);
  });

  test(`${rule.breaker === "failure" ? "trips" : "does not trip"} the breaker`, async () => {
    main.always(behaviour);
    const llm = await open(false);
    for (let i = 0; i < 6; i++) {
      // One after the other: a full window, but nothing that is under way.
      await call(llm).catch(() => undefined);
    }
    const gauge = fleet.meter.gauge("plexus_breaker_state", "", []).with({ model: "main" });
    expect(gauge.value).toBe(rule.breaker === "failure" ? 2 : 0);
  });
});

test("a stream that fails before its first piece is answered by another deployment", async () => {
  main.always({ kind: "streamError", afterChunks: 0 });
  const llm = await open(true);
  expect(await read(llm.stream("desk", ask))).toContain("How is the market?");
  expect(other.count).toBe(1);
});

test("an answer that does not match its schema is repaired by telling the model", async () => {
  main.next(
    { kind: "reply", json: { score: 7 } },
    { kind: "reply", text: '```json\n{"score": 0.7}\n```' },
  );
  const llm = await open(true);
  const { object, attempts } = await llm.object("desk", { ...ask, schema });
  expect([object, attempts]).toEqual([{ score: 0.7 }, 2]);
  expect(main.calls[1]!.messages.at(-1)!.text).toMatch(/does not match the schema[^]*score/);
  expect(other.count).toBe(0);
});

test("an answer that a content filter stops is charged and asked of somebody else", async () => {
  main.always({ kind: "reply", text: "", finishReason: "content-filter" });
  const llm = await open(true);
  expect((await llm.generate("desk", ask)).model).toBe("other");
});

test("a 429 without Retry-After keeps the fleet away for five seconds, a wrong key this process for a minute", async () => {
  main.next({ kind: "status", status: 429 });
  const llm = await open(false);
  await llm.generate("desk", ask).catch(() => undefined);
  const refused = await llm.generate("desk", ask).catch((error: unknown) => error);
  expect(refused).toMatchObject({ code: "RATE_LIMITED" });
  const { retryAfterMs } = (refused as MeshError).details as { retryAfterMs: number };
  expect(retryAfterMs).toBeGreaterThan(4_000);
  expect(retryAfterMs).toBeLessThanOrEqual(5_000);
  expect(main.count).toBe(1);
});
