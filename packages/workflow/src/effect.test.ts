import { expect, test } from "vitest";
import { z } from "zod";
import { append } from "./channel.ts";
import { Command, END, START } from "./command.ts";
import type { NodeContext } from "./context.ts";
import { StateGraph } from "./graph.ts";
import { MemoryCheckpointer } from "./memory-checkpointer.ts";
import type { NodeOptions } from "./node.ts";

const thread = "t";
const channels = { log: append(z.string()) };

function single(
  run: (ctx: NodeContext) => Promise<{ log: string[] } | void>,
  options: NodeOptions<typeof channels> = {},
  checkpointer = new MemoryCheckpointer(),
) {
  return new StateGraph(channels)
    .addNode("work", (_, ctx) => run(ctx), options as object)
    .addEdge(START, "work")
    .addEdge("work", END)
    .compile({ checkpointer });
}

test("an attempt that has timed out begins no effect any more", async () => {
  const charged: number[] = [];
  const late = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<unknown>();
  const graph = single(
    async (ctx) => {
      const { attempt } = ctx;
      if (attempt === 1) await late.promise; // and does not look at its signal
      const charge = ctx.effect("charge", () => void charged.push(attempt));
      if (attempt === 1) gone.resolve(charge.catch((error: unknown) => error));
      await charge;
    },
    { timeout: 5, retry: { attempts: 2, first: 0, max: 0 } },
  );
  await graph.invoke({}, { thread });
  late.resolve();
  expect(await gone.promise).toMatchObject({ code: "TIMEOUT" });
  expect(charged).toEqual([2]);
});

test("a node that is canceled begins no effect any more", async () => {
  const giveUp = new AbortController();
  const late = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<unknown>();
  let charged = 0;
  const graph = single(async (ctx) => {
    giveUp.abort();
    await late.promise;
    const charge = ctx.effect("charge", () => charged++);
    gone.resolve(charge.catch((error: unknown) => error));
    await charge;
  });
  const run = graph.invoke({}, { thread, signal: giveUp.signal });
  await expect(run).rejects.toMatchObject({ code: "CANCELED" });
  late.resolve();
  expect(await gone.promise).toMatchObject({ code: "CANCELED" });
  expect(charged).toBe(0);
});

test("an effect that was begun beside what has failed is not had again by the next attempt", async () => {
  let charged = 0;
  const graph = single(
    async (ctx) => {
      const charge = ctx.effect("charge", async () => {
        await new Promise(setImmediate);
        await new Promise(setImmediate);
        return ++charged;
      });
      const mail = ctx.effect("mail", () => {
        if (ctx.attempt === 1) throw new Error("no connection");
      });
      const [receipt] = await Promise.all([charge, mail]);
      return { log: [`receipt ${receipt}`] };
    },
    { retry: { attempts: 2, first: 0, max: 0 } },
  );
  expect((await graph.invoke({}, { thread })).output.log).toEqual(["receipt 1"]);
  expect(charged).toBe(1);
});

test("an effect that was begun beside a question is not had again when that is answered", async () => {
  let charged = 0;
  const graph = single(async (ctx) => {
    const charge = ctx.effect("charge", async () => {
      await new Promise(setImmediate);
      return ++charged;
    });
    const answer = ctx.interrupt<string>("Is that all right?");
    return { log: [`${answer} ${await charge}`] };
  });
  await graph.invoke({}, { thread });
  const { output } = await graph.invoke(new Command({ resume: "yes" }), { thread });
  expect(output.log).toEqual(["yes 1"]);
  expect(charged).toBe(1);
});

test("an effect that has come to nothing is not had again by whoever begins with a snapshot", async () => {
  const store = new MemoryCheckpointer();
  let mailed = 0;
  const build = () =>
    single(
      async (ctx) => {
        await ctx.effect("mail", () => {
          mailed++;
        });
        await ctx.effect("large", () => "x".repeat(300_000));
        const answer = ctx.interrupt<string>("?");
        const had = await ctx.effect("late", () => undefined);
        return { log: [`${answer} ${String(had)}`] };
      },
      {},
      store,
    );
  await build().invoke({}, { thread, durability: "sync" });
  expect(store.size(thread).snapshots).toBeGreaterThan(300_000);
  const { output } = await build().invoke(new Command({ resume: "yes" }), { thread });
  expect(output.log).toEqual(["yes undefined"]);
  expect(mailed).toBe(1);
});
