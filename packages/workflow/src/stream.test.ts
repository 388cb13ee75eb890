import { expect, test } from "vitest";
import { z } from "zod";
import { append } from "./channel.ts";
import { END, START } from "./command.ts";
import { StateGraph } from "./graph.ts";
import type { StreamItem } from "./stream.ts";

const graph = new StateGraph({ log: append(z.string()) })
  .addNode("a", async (_, ctx) => {
    ctx.emit({ progress: 0.5 });
    for (const text of ["to", "ken"]) ctx.token(text);
    return { log: ["a"] };
  })
  .addNode("b", () => ({ log: ["b"] }))
  .addEdge(START, "a")
  .addEdge("a", "b")
  .addEdge("b", END)
  .compile();

async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}

test("values are the state at the beginning and after each step", async () => {
  expect(await all(graph.stream({ log: ["in"] }, { mode: "values" }))).toEqual([
    { mode: "values", step: 0, values: { log: ["in"] } },
    { mode: "values", step: 1, values: { log: ["in", "a"] } },
    { mode: "values", step: 2, values: { log: ["in", "a", "b"] } },
  ]);
});

test("updates are what nodes return; custom events and tokens come as they are told", async () => {
  const items: StreamItem<"updates" | "custom" | "tokens">[] = await all(
    graph.stream({}, { mode: ["updates", "custom", "tokens"] }),
  );
  expect(items).toEqual([
    { mode: "custom", node: "a", value: { progress: 0.5 } },
    { mode: "tokens", node: "a", text: "to" },
    { mode: "tokens", node: "a", text: "ken" },
    { mode: "updates", node: "a", task: "1:0", update: { log: ["a"] } },
    { mode: "updates", node: "b", task: "2:0", update: { log: ["b"] } },
  ]);
});

test("debug is every event that the engine takes in", async () => {
  const items = await all(graph.stream({}, { mode: "debug" }));
  expect(items.map(({ event }) => event.type)).toEqual(["start", "done", "done"]);
});

test("a stream's result is the run's, and its failure too", async () => {
  const stream = graph.stream({}, { mode: "values" });
  expect((await stream.result).output.log).toEqual(["a", "b"]);
  const failing = new StateGraph({})
    .addNode("bad", () => {
      throw new Error("bad luck");
    })
    .addEdge(START, "bad")
    .addEdge("bad", END)
    .compile();
  const failed = failing.stream({}, { mode: "debug" });
  await expect(all(failed)).rejects.toThrow("bad luck");
  await expect(failed.result).rejects.toThrow("bad luck");
});

test("a reader that is behind stops the run until it has read", async () => {
  let executed = 0;
  const chatty = new StateGraph({})
    .addNode("talk", (_, ctx) => {
      executed++;
      for (let n = 0; n < 400; n++) ctx.emit(n);
    })
    .addEdge(START, "talk")
    .addConditionalEdges("talk", (_, { visits }) => (visits < 20 ? "talk" : END), ["talk", END])
    .compile();
  const stream = chatty.stream({}, { mode: "custom" });
  // Turns follow each other.
  for (let turns = 0; turns < 50; turns++) await new Promise(setImmediate);
  expect(executed).toBeLessThan(5);
  expect(await all(stream)).toHaveLength(8_000);
});

test("a reader that leaves does not stop the run", async () => {
  const stream = graph.stream({}, { mode: "updates" });
  for await (const item of stream) {
    expect(item.node).toBe("a");
    break;
  }
  expect((await stream.result).output.log).toEqual(["a", "b"]);
});
