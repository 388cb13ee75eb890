import { Command, END, START, StateGraph, append, hostGraph, remoteGraph } from "@plexus/workflow";
import { startProxy } from "@plexus/testing";
import { expect, test } from "vitest";
import { z } from "zod";
import { useMeshes } from "../support/mesh.ts";

const meshes = useMeshes();
const LEASE = "1s";

/** Books, and asks whether that is all right; undoing it asks, too. */
const booking = (undone: string[]) =>
  new StateGraph({ log: append(z.string()) }, { name: "booking" })
    .addNode("book", () => ({ log: ["booked"] }), {
      compensate: (_, context) => void undone.push(context.interrupt<string>("Refund by hand?")),
    })
    .addNode("confirm", (_, context) => ({
      log: [context.interrupt("Is that all right?", z.enum(["yes", "no"]))],
    }))
    .addNode("check", ({ log }) => {
      if (log.at(-1) === "no") throw new Error("refused");
    })
    .addEdge(START, "book")
    .addEdge("book", "confirm")
    .addEdge("confirm", "check")
    .addEdge("check", END)
    .compile();

const say = (resume: string) => new Command({ resume });

test("undoing asks from wherever it is executed, and its run fails when it is answered elsewhere", async () => {
  const undone: string[] = [];
  const [first, second, caller] = [await meshes.join(), await meshes.join(), await meshes.join()];
  const hosted = await hostGraph(first, booking(undone), { lease: LEASE });
  const graph = remoteGraph(caller, booking(undone));
  await graph.invoke({}, { thread: "t" });
  const asked = await graph.invoke(say("no"), { thread: "t" });
  expect(asked).toMatchObject({
    status: "waiting",
    interrupts: [{ node: "book", value: "Refund by hand?" }],
  });
  await using other = await hostGraph(second, booking(undone), { lease: LEASE });
  expect(other).toBeDefined();
  await hosted.drain();
  await expect(graph.invoke(say("refunded"), { thread: "t" })).rejects.toThrow("refused");
  expect(undone).toEqual(["refunded"]);
  expect(await graph.getState("t")).toMatchObject({ status: "failed" });
});

test("a run that is rolled back is so, too, if its owner is cut off before the next one has begun", async () => {
  const undone: string[] = [];
  await using proxy = await startProxy({ target: meshes.broker.url });
  const [first, second] = [await meshes.join({ servers: proxy.url }), await meshes.join()];
  const caller = await meshes.join();
  await using hosted = await hostGraph(first, booking(undone), { lease: LEASE });
  expect(hosted).toBeDefined();
  const graph = remoteGraph(caller, booking(undone));
  await graph.invoke({ log: ["first"] }, { thread: "t" });
  await graph.invoke(say("yes"), { thread: "t" });
  await graph.invoke({ log: ["second"] }, { thread: "t" });
  const third = graph.invoke({ log: ["third"] }, { thread: "t", busy: "rollback" });
  const asks = async () => (await graph.getState("t")).interrupts.map(({ value }) => value);
  await expect.poll(asks, { timeout: 20_000 }).toEqual(["Refund by hand?"]);
  await using other = await hostGraph(second, booking(undone), { lease: LEASE });
  expect(other).toBeDefined();
  proxy.hold();
  await graph.invoke(say("refunded"), { thread: "t" }).catch(() => undefined);
  expect((await third).interrupts).toMatchObject([{ value: "Is that all right?" }]);
  const { output } = await graph.invoke(say("yes"), { thread: "t" });
  expect(output.log).toEqual(["first", "booked", "yes", "third", "booked", "yes"]);
});
