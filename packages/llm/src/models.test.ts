import type { ModelServer } from "@plexus/testing";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { countingFleet, deployment, useModels } from "../../../test/support/models.ts";
import { environmentGroups } from "./environment.ts";
import { chain, type Group } from "./group.ts";

const models = useModels();

let a: ModelServer;
let b: ModelServer;

beforeEach(async () => {
  a = await models.server();
  b = await models.server();
});

const pair = (more = {}) => ({
  deployments: [deployment(a, { id: "a", ...more }), deployment(b, { id: "b", ...more })],
});
/** An entry in the map of groups. */
const entry = (name: string, fallback: string[]): [string, Group] => {
  const rest = { deployments: [], strategy: "weighted", attempts: 1, timeoutMs: 1 } as const;
  return [name, { name, fallback, hedgeMs: undefined, ...rest }];
};
const down = { kind: "status", status: 500 } as const;

describe("a call", () => {
  test("is answered, counted and priced", async () => {
    a.next({ kind: "reply", text: "Hi!", usage: { inputTokens: 1_000, outputTokens: 500 } });
    const fleet = countingFleet();
    const llm = await models.open({ fleet, groups: { desk: { deployments: [deployment(a)] } } });
    expect(await llm.generate("desk", { system: "Be brief", prompt: "Hello" })).toEqual({
      text: "Hi!",
      toolCalls: [],
      finishReason: "stop",
      model: "main",
      usage: { inputTokens: 1_000, outputTokens: 500, cachedTokens: 0 },
      costUsd: 0.002,
      attempts: 1,
    });
    const tokens = (kind: string) =>
      fleet.count("plexus_llm_tokens_total", { model: "main", kind });
    expect([tokens("input"), tokens("output")]).toEqual([1_000, 500]);
    expect(fleet.count("plexus_llm_cost_usd_total", { model: "main" })).toBe(0.002);
  });

  test("of a role goes to the role's group, else to the default one", async () => {
    const llm = await models.open({
      groups: {
        fast: { deployments: [deployment(a, { id: "a" })] },
        default: { deployments: [deployment(b, { id: "b" })] },
      },
      roles: { sentiment: "fast" },
    });
    const ask = async (role: string) => (await llm.generate(role, "Hello")).model;
    expect([await ask("sentiment"), await ask("fast"), await ask("other")]).toEqual([
      "a",
      "a",
      "b",
    ]);
  });

  test("streams, and tells at the end what it came to", async () => {
    const llm = await models.open({ groups: { desk: pair() } });
    const stream = llm.stream("desk", "Hello");
    const texts: string[] = [];
    for await (const text of stream) texts.push(text);
    expect(texts.length).toBeGreaterThan(2);
    const answer = await stream.answer;
    expect(answer.text).toBe(texts.join(""));
    expect(answer.costUsd).toBeGreaterThan(0);
  });

  test("whose stream is left is given up, and charged what has come", async () => {
    const slow = await models.server({ chunkMs: 20 });
    const fleet = countingFleet();
    const llm = await models.open({ fleet, groups: { desk: { deployments: [deployment(slow)] } } });
    const stream = llm.stream("desk", "one two three four five six seven eight");
    for await (const _ of stream) break;
    await expect(stream.answer).rejects.toMatchObject({ code: "CANCELED" });
    await expect.poll(() => slow.abandoned).toBe(1);
    expect(fleet.count("plexus_llm_cost_usd_total", { model: "main" })).toBeGreaterThan(0);
  });

  test("at a deployment that nobody limits takes as many at once as are asked", async () => {
    const slow = await models.server({ latency: 100 });
    const llm = await models.open({ groups: { desk: { deployments: [deployment(slow)] } } });
    await Promise.all(Array.from({ length: 20 }, () => llm.generate("desk", "Hello")));
    expect(slow.open.most).toBe(20);
  });
});

describe("fallback", () => {
  test("goes through a group, and then through the groups behind it", async () => {
    for (const server of [a, b]) server.always(down);
    const third = await models.server();
    const llm = await models.open({
      groups: {
        desk: { ...pair(), fallback: ["last"] },
        last: { deployments: [deployment(third)] },
      },
    });
    const answer = await llm.generate("desk", "Hello");
    // Each once, then one of them again: three attempts within the group, by default.
    expect([answer.model, answer.attempts, a.count + b.count]).toEqual(["main", 4, 3]);
  });

  test("visits each group once, and four at most", () => {
    const names = ["one", "two", "three", "four", "five"];
    const ring = new Map(names.map((name, i) => entry(name, [names[(i + 1) % 5]!, "one"])));
    expect(chain(ring, "one").map(({ name }) => name)).toEqual(["one", "two", "three", "four"]);
    const pairOf = new Map([entry("x", ["y"]), entry("y", ["x"])]);
    expect(chain(pairOf, "x").map(({ name }) => name)).toEqual(["x", "y"]);
  });

  test("says why nobody could be asked", async () => {
    a.always(down);
    const spec = deployment(a, { breaker: { reset: "1m" } });
    const llm = await models.open({ groups: { desk: { deployments: [spec], attempts: 5 } } });
    await llm.generate("desk", "Hello").catch(() => undefined);
    await expect(llm.generate("desk", "Hello")).rejects.toMatchObject({
      code: "BREAKER_OPEN",
      retryable: true,
      message: expect.stringContaining("main is kept from being asked by its breaker"),
      details: { retryAfterMs: 60_000 },
    });
    expect(a.count).toBe(5);
  });
});

describe("time", () => {
  test("of an attempt is bounded within that of the call", async () => {
    for (const server of [a, b]) server.always({ kind: "stall" });
    const group = { ...pair({ timeout: 100 }), attempts: 10, timeout: 350 };
    const llm = await models.open({ groups: { desk: group } });
    const began = performance.now();
    await expect(llm.generate("desk", "Hello")).rejects.toMatchObject({
      code: "TIMEOUT",
      retryable: true,
    });
    const took = performance.now() - began;
    expect(took).toBeGreaterThan(340);
    expect(took).toBeLessThan(600);
    expect(a.count + b.count).toBeGreaterThan(2);
    await expect.poll(() => a.abandoned + b.abandoned).toBe(a.count + b.count);
  });

  test("and the caller's signal end what waits for a place, too", async () => {
    a.always({ kind: "stall" });
    const spec = deployment(a, { concurrency: 1, timeout: "10s" });
    const llm = await models.open({ groups: { desk: { deployments: [spec] } } });
    const first = llm.generate("desk", "Hello", { timeout: 300 });
    const second = llm.generate("desk", "Hello", { timeout: 100 });
    const third = llm.generate("desk", "Hello", { signal: AbortSignal.timeout(50) });
    await expect(third).rejects.toMatchObject({ code: "CANCELED" });
    await expect(second).rejects.toMatchObject({ code: "TIMEOUT" });
    await expect(first).rejects.toMatchObject({ code: "TIMEOUT" });
    expect(a.count).toBe(1);
  });
});

describe("hedging", () => {
  test("asks a second deployment when the first is slow; the loser is cancelled, and both are charged", async () => {
    a.always({ kind: "reply", latencyMs: 400 });
    b.always({ kind: "reply", latencyMs: 400 });
    const fast = await models.server();
    const fleet = countingFleet();
    const group = {
      deployments: [
        deployment(a, { id: "a", weight: 1e9 }),
        deployment(fast, { id: "fast", weight: 1 }),
      ],
      hedge: 50,
    };
    const llm = await models.open({ fleet, groups: { desk: group } });
    const answer = await llm.generate("desk", "Hello");
    expect(answer.model).toBe("fast");
    await expect.poll(() => a.abandoned).toBe(1);
    const cost = (model: string) => fleet.count("plexus_llm_cost_usd_total", { model });
    await expect.poll(() => cost("a")).toBeGreaterThan(0);
    expect(cost("fast")).toBeGreaterThan(0);
    const outcome = fleet.count("plexus_llm_attempts_total", { model: "a", outcome: "aborted" });
    expect(outcome).toBe(1);
  });

  test("takes the first if the second fails, and goes on when both do", async () => {
    a.always({ kind: "reply", latencyMs: 200 });
    b.always(down);
    const deployments = [deployment(a, { id: "a", weight: 1e9 }), deployment(b, { id: "b" })];
    const llm = await models.open({ groups: { desk: { deployments, hedge: 20 } } });
    expect((await llm.generate("desk", "Hello")).model).toBe("a");
    a.next(() => ({ kind: "status", status: 500 }));
    expect((await llm.generate("desk", "Hello")).attempts).toBeGreaterThan(1);
  });

  test("is not done for calls with tools", async () => {
    a.always({ kind: "reply", latencyMs: 200 });
    b.always({ kind: "reply", latencyMs: 200 });
    const llm = await models.open({ groups: { desk: { ...pair(), hedge: 20 } } });
    const tools = [{ name: "x", description: "X", input: { type: "object" } }];
    await llm.generate("desk", { prompt: "Hello", tools });
    expect(a.count + b.count).toBe(1);
  });
});

describe("configuration", () => {
  test("comes from the environment if there is no other", () => {
    const env = {
      PLEXUS_LLM_MODEL: "m",
      PLEXUS_LLM_BASE_URL: "http://x/v1",
      PLEXUS_LLM_API_KEY: "k",
    };
    expect(environmentGroups(env)).toEqual({
      default: {
        deployments: [
          { model: "m", provider: "openai-compatible", baseUrl: "http://x/v1", apiKey: "k" },
        ],
      },
    });
    expect(() => environmentGroups({})).toThrow("PLEXUS_LLM_MODEL");
    expect(() => environmentGroups({ PLEXUS_LLM_MODEL: "m" })).toThrow("PLEXUS_LLM_BASE_URL");
    expect(() => environmentGroups({ ...env, PLEXUS_LLM_PROVIDER: "x" })).toThrow("anthropic");
    expect(() => environmentGroups({ ...env, PLEXUS_LLM_BASE_URL: "" })).toThrow("is not set");
    expect(() => environmentGroups({ ...env, PLEXUS_LLM_BASE_URL: "foo" })).toThrow(
      "http or https",
    );
    expect(() => environmentGroups({ ...env, PLEXUS_LLM_MODEL: "" })).toThrow("which model");
  });

  test("that cannot work is refused at once", async () => {
    const spec = deployment(a);
    const refused = async (groups: Parameters<typeof models.open>[0]["groups"], why: string) => {
      await expect(models.open({ groups: groups! })).rejects.toMatchObject({
        code: "INVALID_CONTRACT",
        message: expect.stringContaining(why),
      });
    };
    await refused({ desk: { deployments: [] } }, "no deployments");
    await refused({ desk: { deployments: [spec], fallback: ["x"] } }, "falls back to x");
    await refused({ desk: { deployments: [spec, { ...spec, model: "y" }] } }, "called main");
    const llm = await models.open({ groups: { desk: { deployments: [spec] } } });
    await expect(llm.generate("nobody", "Hello")).rejects.toMatchObject({
      code: "INVALID_CONTRACT",
    });
  });

  test("never tells the key", async () => {
    a.always({ kind: "status", status: 401 });
    const warned = vi.fn<(fields: object, message: string) => void>();
    const log = { info: warned, warn: warned };
    const llm = await models.open({
      log,
      groups: { desk: { deployments: [deployment(a, { apiKey: "sk-secret" })] } },
    });
    const error: unknown = await llm.generate("desk", "Hello").catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "UNAUTHORIZED" });
    expect(JSON.stringify([error, warned.mock.calls])).not.toContain("sk-secret");
    expect(warned).toHaveBeenCalledWith(
      { model: "main", status: 401 },
      "the provider refuses the API key",
    );
  });
});
