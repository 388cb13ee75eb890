import { agent } from "@plexus/core";
import { expect, test } from "vitest";
import { z } from "zod";
import { useMeshes } from "../../../test/support/mesh.ts";
import { createLogger } from "./log.ts";

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
