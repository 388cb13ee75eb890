import { setTimeout as sleep } from "node:timers/promises";
import { startProxy, type ModelServer } from "@plexus/testing";
import { beforeEach, describe, expect, test } from "vitest";
import { countingFleet, deployment, useModels } from "../../../test/support/models.ts";
import { useMeshes } from "../../../test/support/mesh.ts";
import { canonical, digest } from "./canonical.ts";
import type { Fleet } from "./fleet.ts";
import { localFleet } from "./local-fleet.ts";
import type { Models, ModelsOptions } from "./models.ts";

const meshes = useMeshes();
const models = useModels();

let server: ModelServer;

beforeEach(async () => {
  server = await models.server({ latency: 50 });
});

const open = (fleet: Fleet, more: Partial<ModelsOptions> = {}): Promise<Models> =>
  models.open({ fleet, groups: { desk: { deployments: [deployment(server)] } }, ...more });
const cold = { prompt: "Hello", temperature: 0 };

describe("an answer at temperature 0", () => {
  test("is paid once", async () => {
    const fleet = countingFleet();
    const llm = await open(fleet);
    const first = await llm.generate("desk", cold);
    const second = await llm.generate("desk", cold);
    expect([first.cache, second.cache]).toEqual(["miss", "hit"]);
    expect([second.text, second.costUsd, second.attempts]).toEqual([first.text, 0, 0]);
    expect(server.count).toBe(1);
    const counted = (outcome: string) => fleet.count("plexus_llm_cache_total", { outcome });
    expect([counted("hit"), counted("miss")]).toEqual([1, 1]);
  });

  test("is another one for another question, model, seed, tool or bound, and the same in another order", async () => {
    const llm = await open(localFleet());
    await llm.generate("desk", cold);
    expect((await llm.generate("desk", { temperature: 0, prompt: "Hello" })).cache).toBe("hit");
    const others = [
      { prompt: "Hello!" },
      { system: "x" },
      { seed: 1 },
      { maxTokens: 5 },
      { tools: [{ name: "x", description: "X", input: { type: "object" } }] },
    ];
    for (const other of others) {
      expect((await llm.generate("desk", { ...cold, ...other })).cache).toBe("miss");
    }
    expect(canonical({ b: 1, a: [{ d: undefined, c: 2 }] })).toBe('{"a":[{"c":2}],"b":1}');
    expect(digest({ a: 1, b: 2 })).toBe(digest({ b: 2, a: 1 }));
  });

  test("is not kept at other temperatures, unless asked for; and not at 0, if so told", async () => {
    const llm = await open(localFleet());
    const warm = { prompt: "Hello", temperature: 1, seed: 7 };
    expect((await llm.generate("desk", warm)).cache).toBeUndefined();
    expect((await llm.generate("desk", "Hello")).cache).toBeUndefined();
    expect((await llm.generate("desk", warm, { cache: true })).cache).toBe("miss");
    expect((await llm.generate("desk", warm, { cache: true })).cache).toBe("hit");
    expect((await llm.generate("desk", cold, { cache: false })).cache).toBeUndefined();
    expect(server.calls[0]).toMatchObject({ temperature: 1, seed: 7 });
  });

  test("that failed is not kept", async () => {
    const llm = await open(localFleet());
    server.next({ kind: "status", status: 400 });
    await expect(llm.generate("desk", cold)).rejects.toMatchObject({ code: "INVALID_INPUT" });
    expect((await llm.generate("desk", cold)).cache).toBe("miss");
  });

  test("passes away", async () => {
    const llm = await open(localFleet(), { cache: { ttl: 100 } });
    await llm.generate("desk", cold);
    await sleep(150);
    expect((await llm.generate("desk", cold)).cache).toBe("miss");
  });
});

describe("the same question, asked by many at once", () => {
  test("of one process, is asked once", async () => {
    const llm = await open(localFleet());
    const answers = await Promise.all(Array.from({ length: 20 }, () => llm.generate("desk", cold)));
    expect(server.count).toBe(1);
    expect(answers.filter(({ cache }) => cache === "shared")).toHaveLength(19);
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
  });

  test("of many processes, is asked once", async () => {
    const all = await Promise.all(Array.from({ length: 6 }, async () => open(await meshes.join())));
    const answers = await Promise.all(all.map((llm) => llm.generate("desk", cold)));
    expect(server.count).toBe(1);
    expect(answers.filter(({ cache }) => cache === "miss")).toHaveLength(1);
    expect(answers.reduce((sum, { costUsd }) => sum + costUsd, 0)).toBe(
      answers.find(({ cache }) => cache === "miss")!.costUsd,
    );
  });

  test("is asked by the next one when the first gives up, or dies", async () => {
    const [one, two] = [await open(await meshes.join()), await open(await meshes.join())];
    server.next({ kind: "stall" });
    const first = one.generate("desk", cold, { signal: AbortSignal.timeout(150) });
    first.catch(() => undefined);
    await sleep(50);
    const second = two.generate("desk", cold);
    await expect(first).rejects.toMatchObject({ code: "CANCELED" });
    expect((await second).cache).toBe("miss");
    expect(server.count).toBe(2);

    await using proxy = await startProxy({ target: meshes.broker.url });
    const mortal = await open(await meshes.join({ servers: proxy.url }));
    server.next({ kind: "stall" });
    const other = { ...cold, prompt: "Hello again" };
    const third = mortal.generate("desk", other, { timeout: 500 });
    third.catch(() => undefined);
    await expect.poll(() => server.count).toBe(3);
    await proxy.cut(); // its claim stays, and nobody takes it back before its time
    const began = performance.now();
    expect((await two.generate("desk", other, { timeout: "10s" })).cache).toBe("miss");
    expect(performance.now() - began).toBeLessThan(4_000);
  });
});

test("without the broker there is no cache, but there are answers", async () => {
  await using proxy = await startProxy({ target: meshes.broker.url });
  const mesh = await meshes.join({ servers: proxy.url });
  const llm = await open(mesh);
  await proxy.cut();
  await expect.poll(() => mesh.connected).toBe(false);
  expect((await llm.generate("desk", cold)).cache).toBe("miss");
  expect((await llm.generate("desk", cold)).cache).toBe("miss");
  expect(server.count).toBe(2);
});
