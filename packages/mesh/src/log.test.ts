import { agent } from "@plexus/core";
import { startProxy } from "@plexus/testing";
import { expect, test } from "vitest";
import { z } from "zod";
import { gate, silent, upTo, useMeshes } from "../../../test/support/mesh.ts";
import { createLogger, type Logger } from "./log.ts";

const meshes = useMeshes();
const Desk = agent("desk", { capabilities: { run: { input: z.unknown(), output: z.unknown() } } });

class Trap extends Error {
  constructor() {
    super("a trap");
    Object.defineProperty(this, "contents", { enumerable: true, get: explode });
  }
}

function explode(): never {
  throw new Error("do not look");
}

function run(input: unknown): unknown {
  if (input === "fine") return input;
  throw new Trap();
}

test("an error whose getters throw is answered and keeps no slot, though it is logged", async () => {
  const mesh = await meshes.join({ log: createLogger({ test: "of what is logged" }) });
  await mesh.host(Desk, { run }, { concurrency: 1 });
  const desk = mesh.get(Desk);
  await expect(desk.run("trap", { timeout: "5s" })).rejects.toMatchObject({ code: "AGENT_FAILED" });
  expect(await desk.run("fine", { timeout: "5s" })).toBe("fine");
});

test("answers that cannot be sent are told of once, and how many there were when the broker is back", async () => {
  await using proxy = await startProxy({ target: meshes.broker.url });
  const [begun, end] = [gate(), gate()];
  const warnings: [text: string, fields: object][] = [];
  const log: Logger = { ...silent, warn: (fields, text) => warnings.push([text, fields]) };
  const host = await meshes.join({ servers: proxy.url, log });
  let running = 0;
  const wait = (): Promise<void> => {
    if (++running === 50) begun.open();
    return end.opened;
  };
  await host.host(Desk, { run: wait }, { concurrency: 50 });
  const desk = (await meshes.join()).get(Desk);
  for (const n of upTo(50)) desk.run(n).catch(() => undefined);
  await begun.opened;
  await proxy.cut();
  await expect.poll(() => warnings.at(-1)?.[0]).toContain("lost, reconnecting");
  end.open();
  await expect.poll(() => warnings.at(-1)?.[0]).toContain("are dropped");
  await proxy.heal();
  await expect.poll(() => warnings.at(-1)?.[0]).toContain("restored");
  expect(warnings.filter(([text]) => text.includes("dropped"))).toHaveLength(1);
  expect(warnings.at(-1)![1]).toMatchObject({ dropped: 50 });
});
