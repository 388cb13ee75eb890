import { MeshError } from "@plexus/core";
import { expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { killedBehindEachRecord } from "../../../../test/support/patterns.ts";
import { MemoryCheckpointer } from "../memory-checkpointer.ts";
import { contractNet, type Contractor, type Proposed } from "./contract-net.ts";

type Haulier = Contractor<{ parcel: string }, { cost: number }, string>;
type Hauliers = Readonly<Record<string, Haulier>>;

/** Offers to haul at a price, and notes what it is told. */
function haulier(cost: number | undefined, told: string[] = [], name = ""): Haulier {
  return {
    bid: () => (cost === undefined ? undefined : { cost }),
    perform: ({ task, proposal }) => `${task.parcel} for ${proposal.cost}`,
    rejected: ({ proposal }) => told.push(`${name} lost at ${proposal.cost}`),
  };
}

function cheapest(proposals: readonly Proposed<{ cost: number }>[]): string {
  return proposals.toSorted((a, b) => a.proposal.cost - b.proposal.cost)[0]!.contractor;
}

function negotiate(contractors: Hauliers, award: typeof cheapest = cheapest) {
  return contractNet({
    task: z.object({ parcel: z.string() }),
    proposal: z.object({ cost: z.number().positive() }),
    result: z.string(),
    contractors,
    deadline: "30s",
    award,
  });
}

const task = { parcel: "p1" };
const never = (): Promise<never> => new Promise(() => undefined);

test("all are called upon, the best proposal is awarded, its contractor performs, and the losers are told", async () => {
  const told: string[] = [];
  const { output } = await negotiate({
    dear: haulier(9, told, "dear"),
    cheap: haulier(3, told, "cheap"),
    busy: haulier(undefined, told, "busy"),
    fair: haulier(5, told, "fair"),
  })
    .compile()
    .invoke({ task });
  expect(output.bids).toEqual([
    { contractor: "dear", status: "proposed", proposal: { cost: 9 } },
    { contractor: "cheap", status: "proposed", proposal: { cost: 3 } },
    { contractor: "busy", status: "refused" },
    { contractor: "fair", status: "proposed", proposal: { cost: 5 } },
  ]);
  expect(output.outcome).toEqual({ status: "done", contractor: "cheap", result: "p1 for 3" });
  expect(told).toEqual(["dear lost at 9", "fair lost at 5"]);
  expect(output.rejections).toEqual([
    { contractor: "dear", told: true },
    { contractor: "fair", told: true },
  ]);
  expectTypeOf(output.task).toEqualTypeOf<{ parcel: string }>();
});

test("who has not answered until the deadline is out, and is told to stop; who throws or offers nonsense, too", async () => {
  const stopped = Promise.withResolvers<void>();
  const { output } = await contractNet({
    task: z.string(),
    proposal: z.object({ cost: z.number().positive() }),
    result: z.string(),
    contractors: {
      slow: {
        bid: (_, { signal }) => {
          signal.addEventListener("abort", () => stopped.resolve());
          return never();
        },
        perform: () => "",
      },
      broken: {
        bid: () => {
          throw new Error("no lorry");
        },
        perform: () => "",
      },
      odd: { bid: () => ({ cost: -1 }), perform: () => "" },
      sound: { bid: () => ({ cost: 7 }), perform: (award) => `did ${award.task}` },
    },
    deadline: 200,
    award: cheapest,
  })
    .compile()
    .invoke({ task: "it" });
  await stopped.promise;
  expect(output.bids).toEqual([
    { contractor: "slow", status: "late" },
    { contractor: "broken", status: "failed", error: "Node bid: Error: no lorry" },
    { contractor: "odd", status: "failed", error: expect.stringContaining("channel bids") },
    { contractor: "sound", status: "proposed", proposal: { cost: 7 } },
  ]);
  expect(output.outcome).toEqual({ status: "done", contractor: "sound", result: "did it" });
});

const nobody = (): string => {
  throw new Error("there is nothing to choose from");
};

test("where nobody bids, the task is not awarded, and nobody is asked whom to award", async () => {
  const graph = negotiate({ a: haulier(undefined), b: haulier(undefined) }, nobody).compile();
  const { output } = await graph.invoke({ task });
  expect(output.outcome).toEqual({ status: "unawarded" });
  expect(output.rejections).toEqual([]);
});

test("where no proposal is good enough, all who have proposed are told", async () => {
  const told: string[] = [];
  const graph = contractNet({
    task: z.object({ parcel: z.string() }),
    proposal: z.object({ cost: z.number() }),
    result: z.string(),
    contractors: { a: haulier(8, told, "a"), b: haulier(9, told, "b") },
    deadline: "30s",
    award: (proposals) => proposals.find(({ proposal }) => proposal.cost < 5)?.contractor,
  }).compile();
  const { output } = await graph.invoke({ task });
  expect(output.outcome).toEqual({ status: "unawarded" });
  expect(told).toEqual(["a lost at 8", "b lost at 9"]);
});

test("a contractor that fails to perform has failed by name, and the losers have been told all the same", async () => {
  const told: string[] = [];
  const failing: Haulier = {
    bid: () => ({ cost: 1 }),
    perform: () => {
      throw new MeshError("AGENT_LOST", "the lorry is in a ditch");
    },
  };
  const { output } = await negotiate({ failing, other: haulier(2, told, "other") })
    .compile()
    .invoke({ task });
  expect(output.outcome).toEqual({
    status: "failed",
    contractor: "failing",
    error: "Node perform: the lorry is in a ditch",
  });
  expect(told).toEqual(["other lost at 2"]);
});

test("a loser that cannot be told does not stop the one that performs", async () => {
  let attempts = 0;
  const deaf: Haulier = {
    ...haulier(9),
    rejected: () => {
      attempts++;
      throw new Error("gone");
    },
  };
  const { output } = await negotiate({ deaf, cheap: haulier(1) })
    .compile()
    .invoke({ task });
  expect(output.outcome).toMatchObject({ status: "done", contractor: "cheap" });
  expect(output.rejections).toEqual([{ contractor: "deaf", told: false }]);
  expect(attempts).toBe(3);
});

test("an award to somebody who has not proposed fails the run, by name", async () => {
  const graph = negotiate({ a: haulier(1), b: haulier(undefined) }, () => "b").compile();
  await expect(graph.invoke({ task })).rejects.toMatchObject({
    code: "INVALID_OUTPUT",
    message: "Node award: b was awarded the task and has not proposed",
  });
});

test("what is not the task that was agreed on is refused, and so is a net without contractors", async () => {
  const graph = negotiate({ a: haulier(1) }).compile();
  await expect(graph.invoke({ task: { parcel: 7 } as never })).rejects.toMatchObject({
    code: "INVALID_INPUT",
  });
  expect(() => negotiate({})).toThrow("the number of contractors must be 1 or more");
});

test("a second negotiation on the thread knows nothing of the first one's bids", async () => {
  const graph = negotiate({ a: haulier(1) }).compile({ checkpointer: new MemoryCheckpointer() });
  await graph.invoke({ task }, { thread: "t" });
  const { output } = await graph.invoke({ task: { parcel: "p2" } }, { thread: "t" });
  expect(output.bids).toHaveLength(1);
  expect(output.outcome).toMatchObject({ result: "p2 for 1" });
});

test("killed behind any record and resumed, a negotiation comes to the same outcome", async () => {
  const { output, kills } = await killedBehindEachRecord(
    (checkpointer) =>
      negotiate({ a: haulier(4), b: haulier(2), c: haulier(undefined) }).compile({ checkpointer }),
    { task },
  );
  expect(kills).toBeGreaterThan(7);
  expect(output.outcome).toEqual({ status: "done", contractor: "b", result: "p1 for 2" });
});
