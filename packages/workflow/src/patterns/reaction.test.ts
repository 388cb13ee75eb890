import { expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { killedBehindEachRecord } from "../../../../test/support/patterns.ts";
import { MemoryCheckpointer } from "../memory-checkpointer.ts";
import { reaction } from "./reaction.ts";

const events = {
  ordered: z.object({ id: z.string(), cents: z.number() }),
  paid: z.object({ id: z.string() }),
  packed: z.object({ id: z.string() }),
  noted: z.string(),
};

/** A shop: what is ordered is paid and packed at the same time, and both are noted. */
function shop(onError: "fail" | "report" = "fail", packer: () => void = () => undefined) {
  return reaction({
    events,
    onError,
    agents: {
      till: {
        on: ["ordered"],
        react: ({ value }) => [{ kind: "paid", value: { id: value.id } }],
      },
      packer: {
        on: ["ordered"],
        react: async ({ value }) => {
          packer();
          return [{ kind: "packed", value: { id: value.id } }];
        },
      },
      clerk: {
        on: ["paid", "packed"],
        react: ({ kind, value }) => [{ kind: "noted", value: `${kind} ${value.id}` }],
      },
    },
  });
}

const order = { kind: "ordered" as const, value: { id: "o1", cents: 500 } };

test("agents react to what they have subscribed to, and to what others publish because of it", async () => {
  const { output } = await shop()
    .compile()
    .invoke({ publish: [order] });
  expect(output.events.map(({ kind, by, trail }) => [kind, by, trail])).toEqual([
    ["ordered", undefined, []],
    ["paid", "till", ["ordered"]],
    ["packed", "packer", ["ordered"]],
    ["noted", "clerk", ["ordered", "paid"]],
    ["noted", "clerk", ["ordered", "packed"]],
  ]);
  const noted = output.events.flatMap((event) => (event.kind === "noted" ? event.value : []));
  expect(noted).toEqual(["paid o1", "packed o1"]);
});

test("each event is reacted to once by each subscriber, and what nobody subscribes to is kept all the same", async () => {
  const second = { ...order, value: { id: "o2", cents: 1 } };
  const { output } = await shop()
    .compile()
    .invoke({ publish: [order, second] });
  const ids = output.events.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  expect(output.events.filter(({ kind }) => kind === "noted")).toHaveLength(4);
});

test("an agent sees the kinds that it has subscribed to, by their types", () => {
  reaction({
    events,
    agents: {
      one: {
        on: ["paid", "noted"],
        react: (event) => {
          expectTypeOf(event.kind).toEqualTypeOf<"paid" | "noted">();
          if (event.kind === "noted") expectTypeOf(event.value).toEqualTypeOf<string>();
        },
      },
    },
  });
});

test.each(["fail", "report"] as const)(
  "a chain of reactions that does not end is stopped, and the error shows it (%s)",
  async (onError) => {
    let reactions = 0;
    const graph = reaction({
      events: { ping: z.number(), pong: z.number() },
      maxDepth: 6,
      onError,
      agents: {
        a: { on: ["ping"], react: ({ value }) => [{ kind: "pong", value }] },
        b: {
          on: ["pong"],
          react: ({ value }) => {
            reactions++;
            return [{ kind: "ping", value }];
          },
        },
      },
    }).compile();
    await expect(graph.invoke({ publish: [{ kind: "ping", value: 1 }] })).rejects.toMatchObject({
      code: "STEP_LIMIT",
      message:
        "Node b: ping would follow 6 events that have led to each other (… → ping → pong → ping → pong → ping → pong): raise maxDepth, or end the loop",
    });
    expect(reactions).toBe(3);
  },
);

test("a flood of reactions is stopped, however short its chains are; reporting failures does not hide it", async () => {
  const graph = reaction({
    events: { spark: z.number() },
    maxReactions: 50,
    onError: "report",
    agents: {
      fire: {
        on: ["spark"],
        react: ({ value }) => [1, 2, 3].map((n) => ({ kind: "spark" as const, value: value + n })),
      },
    },
  }).compile();
  await expect(graph.invoke({ publish: [{ kind: "spark", value: 0 }] })).rejects.toMatchObject({
    code: "STEP_LIMIT",
    message: expect.stringContaining("Node fire of graph reaction may be executed 50 times"),
  });
});

function jammed(): void {
  throw new Error("no boxes");
}

test("an agent that throws fails the run, by name; where failures are reported, the other reactions take place", async () => {
  const failing = shop("fail", jammed).compile();
  await expect(failing.invoke({ publish: [order] })).rejects.toThrow(
    "Node packer: Error: no boxes",
  );
  const { output } = await shop("report", jammed)
    .compile()
    .invoke({ publish: [order] });
  expect(output.failures).toEqual([
    { agent: "packer", event: output.events[0]!.id, error: "Node packer: Error: no boxes" },
  ]);
  expect(output.events.map(({ kind }) => kind)).toEqual(["ordered", "paid", "noted"]);
});

const publishing = (kind: string, value: unknown) =>
  reaction({
    events: { start: z.null(), end: z.number() },
    agents: { a: { on: ["start"], react: () => [{ kind, value } as never] } },
  })
    .compile()
    .invoke({ publish: [{ kind: "start", value: null }] });

test("what is published is checked: its kind, and what it holds", async () => {
  await expect(publishing("typo", 1)).rejects.toThrow(
    "Node a: it publishes typo, which is no kind",
  );
  await expect(publishing("end", "1")).rejects.toThrow(
    "Node a: it publishes end that does not match",
  );
  await expect(
    shop()
      .compile()
      .invoke({ publish: [{ kind: "typo" as "paid", value: { id: "" } }] }),
  ).rejects.toMatchObject({ code: "INVALID_INPUT" });
  expect(() =>
    reaction({ events, agents: { a: { on: ["typo" as "paid"], react: () => [] } } }),
  ).toThrow("a subscribes to typo, which is none of ordered, paid, packed, noted");
});

test("a second run on the thread reacts to its own events only, and the thread keeps all of them", async () => {
  const graph = shop().compile({ checkpointer: new MemoryCheckpointer() });
  await graph.invoke({ publish: [order] }, { thread: "t" });
  const { output } = await graph.invoke(
    { publish: [{ kind: "paid", value: { id: "o9" } }] },
    { thread: "t" },
  );
  expect(output.events.map(({ kind }) => kind).slice(5)).toEqual(["paid", "noted"]);
});

test("killed behind any record and resumed, reactions come to the same events", async () => {
  const { output, kills } = await killedBehindEachRecord(
    (checkpointer) => shop().compile({ checkpointer }),
    { publish: [order] },
  );
  expect(kills).toBeGreaterThan(6);
  expect(output.events).toHaveLength(5);
});
