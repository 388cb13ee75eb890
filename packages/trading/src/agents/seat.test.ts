import type { Mesh } from "@plexus/mesh";
import { expect, test } from "vitest";
import { type Command, Commands, OrderDesk, Statuses } from "../contracts.ts";
import type { Order } from "../decision.ts";
import { planRun } from "../run-plan.ts";
import { takeSeat } from "./seat.ts";

test("a command that comes while the agent is being hosted waits until it is", async () => {
  let obey: ((command: Command) => Promise<void>) | undefined;
  let submit: ((input: unknown) => Promise<unknown>) | undefined;
  let obeyed: Promise<void> | undefined;
  const phases: string[] = [];
  const plan = planRun({ symbols: 0, seed: 0, rate: 1, bars: 1 });
  const mesh = {
    get: (contract: unknown) => {
      expect(contract).toBe(OrderDesk);
      return { execute: () => Promise.resolve("a fill") };
    },
    publish: (topic: unknown, { phase }: { phase: string }) => {
      if (topic === Statuses) phases.push(phase);
      return Promise.resolve();
    },
    subscribe: (topic: unknown, handler: NonNullable<typeof obey>) => {
      if (topic === Commands) obey = handler;
      return Promise.resolve({ unsubscribe: () => Promise.resolve() });
    },
    agents: () => [{ instance: "risk-1", weight: 1 }],
    waitFor: () => Promise.resolve(),
    // The registry tells of an instance before `host` resolves, and the desk loses no time.
    async host(_contract: unknown, handlers: { submit: NonNullable<typeof submit> }) {
      ({ submit } = handlers);
      obeyed = obey?.({ kind: "prepare", plan });
      await new Promise((resolve) => setTimeout(resolve, 20));
      return { info: { instance: "risk-1" }, drain: () => Promise.resolve() };
    },
  };
  await using seated = await takeSeat(mesh as unknown as Mesh, { role: "risk", index: 0, of: 1 });
  expect(seated).toBeDefined();
  await obeyed;
  expect(phases).toContain("ready");
  const order: Order = {
    id: "trend:IBM:0",
    number: 0,
    strategy: "trend",
    symbol: "IBM",
    seq: 0,
    date: "2001-03-01",
    side: "buy",
    targetShares: 100,
    priceCents: 10_000,
    reason: "test",
  };
  const answer = await submit?.({ order, dueAt: 0, sentAt: 0 });
  expect(answer).toMatchObject({ status: "filled", fill: "a fill" });
});
