import { spawnNode } from "@plexus/testing";
import { expect, test } from "vitest";
import { useMeshes } from "../support/mesh.ts";
import { startAgent } from "../support/workers.ts";

const meshes = useMeshes();

test("a process that has closed its mesh ends by itself", async () => {
  await using life = startAgent(meshes, "whole-life");
  await life.waitForLine("closed");
  const closed = performance.now();
  expect(await life.exited).toEqual({ code: 0, signal: null });
  expect(performance.now() - closed).toBeLessThan(3_000);
  expect(life.stderr()).toBe("");
});

test("200 connections in a row leave no timer, socket, listener or memory behind", async () => {
  await using lives = spawnNode(new URL("agents/many-lives.ts", import.meta.url), {
    args: ["200"],
    execArgv: ["--conditions=plexus-source", "--expose-gc"],
    env: {
      PLEXUS_SERVERS: meshes.broker.url,
      PLEXUS_MESH: meshes.name,
      PLEXUS_LOG_LEVEL: "silent",
    },
  });
  const { before, after } = JSON.parse(await lives.waitForLine("before", 30_000)) as Record<
    "before" | "after",
    { resources: Record<string, number>; listeners: number; heapMb: number }
  >;
  expect(await lives.exited).toEqual({ code: 0, signal: null });
  expect(after.listeners).toBe(before.listeners);
  expect(Object.keys(after.resources).filter((name) => /TCP|Timeout|HTTP/i.test(name))).toEqual(
    Object.keys(before.resources).filter((name) => /TCP|Timeout|HTTP/i.test(name)),
  );
  expect(after.heapMb - before.heapMb).toBeLessThan(15);
  const varz = (await (await fetch(`${meshes.broker.monitorUrl}/varz`)).json()) as {
    connections: number;
  };
  expect(varz.connections).toBe(0);
}, 90_000);

test("calls of every fate leave nothing behind", async () => {
  await using calls = spawnNode(new URL("agents/many-calls.ts", import.meta.url), {
    args: ["300"],
    execArgv: ["--conditions=plexus-source", "--expose-gc"],
    env: {
      PLEXUS_SERVERS: meshes.broker.url,
      PLEXUS_MESH: meshes.name,
      PLEXUS_LOG_LEVEL: "silent",
    },
  });
  const line = await calls.waitForLine("before", 30_000);
  const { before, after } = JSON.parse(line) as { before: number; after: number };
  // 60,000 calls: a map entry of 100 bytes for each would be 6 MB.
  expect(after - before).toBeLessThan(3);
  expect(await calls.exited).toEqual({ code: 0, signal: null });
}, 90_000);
