import type { Mesh } from "@plexus/mesh";
import {
  MemoryCheckpointer,
  capabilityAgent,
  concurrent,
  contractNet,
  handoff,
  remoteGraph,
  supervisor,
  taskAgent,
  type AgentInput,
  type Contractor,
} from "@plexus/workflow";
import { expect, test } from "vitest";
import { z } from "zod";
import { gate, inTurn, useMeshes } from "../support/mesh.ts";
import { ask, refusal, script } from "../support/patterns.ts";
import { startAgent } from "../support/workers.ts";
import { haulier, talker } from "./agents/contracts.ts";
import { desk } from "./agents/desk-graph.ts";

const meshes = useMeshes();

function lastText({ messages, task }: AgentInput): { text: string } {
  const last = messages.at(-1);
  return { text: task ?? (last?.role === "user" ? last.text : "nothing") };
}

/** A process of its own that talks, as an agent of a pattern. */
const remote = (mesh: Mesh, name: string) =>
  capabilityAgent(mesh, talker(name), "reply", {
    input: lastText,
    reply: ({ text, pid }) => `${text} (${pid})`,
  });

test("a supervisor's agents are processes of a mesh: it calls one after the other, and all at once", async () => {
  const names = ["ada", "bob"];
  await using ada = startAgent(meshes, "talker", ["ada"]);
  await using bob = startAgent(meshes, "talker", ["bob"]);
  const mesh = await meshes.join();
  await Promise.all(names.map((name) => mesh.waitFor(talker(name), { timeout: "30s" })));
  const graph = supervisor({
    agents: { ada: remote(mesh, "ada"), bob: remote(mesh, "bob") },
    decide: (_, { visits }) => {
      if (visits === 1) return handoff("ada", { task: "count" });
      if (visits === 2) return handoff(names, { task: "check" });
      return "checked";
    },
  }).compile();
  const { output } = await graph.invoke(ask("Count, and check"));
  const said = script(output.messages).filter((line) => /^(ada|bob):/.test(line));
  expect(said).toEqual([
    `ada: ada heard: count (${ada.pid}) transfer_back_to_supervisor({})`,
    `ada: ada heard: check (${ada.pid}) transfer_back_to_supervisor({})`,
    `bob: bob heard: check (${bob.pid}) transfer_back_to_supervisor({})`,
  ]);
  expect(refusal(output.messages.slice(0, -1))).toBeUndefined();
});

test("an agent whose processes are killed has failed, by name, and the others' answers are used", async () => {
  await using ada = startAgent(meshes, "talker", ["ada"]);
  await using bob = startAgent(meshes, "talker", ["bob"]);
  const mesh = await meshes.join();
  await Promise.all(["ada", "bob"].map((name) => mesh.waitFor(talker(name), { timeout: "30s" })));
  await bob.kill("SIGKILL");
  const graph = concurrent({
    agents: {
      ada: remote(mesh, "ada"),
      bob: capabilityAgent(mesh, talker("bob"), "reply", {
        input: lastText,
        reply: ({ text }) => text,
        timeout: "10s",
      }),
    },
    aggregate: ({ answers }) =>
      answers
        .map(({ agent, failed }) => `${agent} ${failed === true ? "failed" : "answered"}`)
        .join(),
    onError: "report",
  }).compile();
  const { output } = await graph.invoke(ask("Hello"));
  expect(output.messages.at(-1)).toMatchObject({ text: "ada answered,bob failed" });
  expect(output.answers[0]!.text).toContain(`(${ada.pid})`);
});

/** A haulier on the mesh: bids are calls, performing is a durable task. */
function onMesh(
  mesh: Mesh,
  name: string,
  ms: number,
): Contractor<string, { cost: number }, number> {
  const contract = haulier(name);
  return {
    bid: (parcel, { signal }) => mesh.get(contract).bid(parcel, { signal }),
    perform: async ({ task: parcel }, { execution, signal }) => {
      const task = await mesh.submit(contract, "perform", { parcel, ms }, { key: execution });
      return task.result({ signal });
    },
    rejected: ({ task: parcel }, { signal }) => mesh.get(contract).lost(parcel, { signal }),
  };
}

test("a contract net over a mesh: whoever is gone is out, the cheapest one performs, and the losers are told", async () => {
  await using cheap = startAgent(meshes, "haulier", ["cheap", "3"]);
  await using dear = startAgent(meshes, "haulier", ["dear", "9"]);
  await using gone = startAgent(meshes, "haulier", ["gone", "1"]);
  const mesh = await meshes.join();
  const names = ["cheap", "dear", "gone"];
  await Promise.all(names.map((name) => mesh.waitFor(haulier(name), { timeout: "30s" })));
  await gone.kill("SIGKILL");
  const graph = contractNet({
    task: z.string(),
    proposal: z.object({ cost: z.number() }),
    result: z.number(),
    contractors: Object.fromEntries(names.map((name) => [name, onMesh(mesh, name, 1)])),
    deadline: "15s",
    award: (proposals) =>
      proposals.toSorted((a, b) => a.proposal.cost - b.proposal.cost)[0]!.contractor,
  }).compile();
  const { output } = await graph.invoke({ task: "p1" });
  expect(output.bids.map(({ contractor, status }) => [contractor, status])).toEqual([
    ["cheap", "proposed"],
    ["dear", "proposed"],
    ["gone", expect.stringMatching(/^(failed|late)$/)],
  ]);
  expect(output.outcome).toEqual({ status: "done", contractor: "cheap", result: cheap.pid });
  await dear.waitForLine("lost p1", 20_000);
});

test("the contractor is killed while it performs, and so is who has called for proposals: another process of each finishes", async () => {
  await using first = startAgent(meshes, "haulier", ["only", "3"]);
  const mesh = await meshes.join();
  await mesh.waitFor(haulier("only"), { timeout: "30s" });
  const checkpointer = new MemoryCheckpointer();
  const open = () =>
    contractNet({
      task: z.string(),
      proposal: z.object({ cost: z.number() }),
      result: z.number(),
      contractors: { only: onMesh(mesh, "only", 300) },
      deadline: "15s",
      award: () => "only",
    }).compile({ checkpointer });
  const dying = open().invoke({ task: "p1" }, { thread: "t", durability: "sync" });
  const death = dying.catch((error: unknown) => error);
  await first.waitForLine("began p1", 20_000);
  await first.kill("SIGKILL");
  checkpointer.revoke("t");
  await using second = startAgent(meshes, "haulier", ["only", "3"]);
  const { output } = await open().invoke(null, { thread: "t" });
  expect(output.outcome).toEqual({ status: "done", contractor: "only", result: second.pid });
  expect(await death).toMatchObject({ code: "FENCED" });
});

test("an agent that is a durable task is executed once, although the supervisor that waits for it dies", async () => {
  await using worker = startAgent(meshes, "haulier", ["hauler", "1"]);
  const mesh = await meshes.join();
  await mesh.waitFor(haulier("hauler"), { timeout: "30s" });
  const checkpointer = new MemoryCheckpointer();
  const open = () =>
    supervisor({
      agents: {
        hauler: taskAgent(mesh, haulier("hauler"), "perform", {
          input: ({ task = "" }) => ({ parcel: task, ms: 500 }),
          reply: (pid) => `hauled by ${pid}`,
        }),
      },
      decide: (_, { visits }) => (visits === 1 ? handoff("hauler", { task: "p1" }) : "done"),
    }).compile({ checkpointer });
  const dying = open().invoke(ask("Haul p1"), { thread: "t", durability: "sync" });
  const death = dying.catch((error: unknown) => error);
  await worker.waitForLine("began p1", 20_000);
  checkpointer.revoke("t");
  const { output } = await open().invoke(null, { thread: "t" });
  expect(await death).toMatchObject({ code: "FENCED" });
  expect(script(output.messages)).toContain(
    `hauler: hauled by ${worker.pid} transfer_back_to_supervisor({})`,
  );
});

test("a supervisor that processes of the mesh host: the one that executes it is killed, and the next one repeats nothing that is recorded", async () => {
  const asked = new Map<string, number>();
  const [reached, released] = [gate(), gate()];
  await inTurn(["ada", "bob"], async (name) => {
    const own = await meshes.join({ name });
    await own.host(talker(name), {
      reply: async ({ text }) => {
        asked.set(text, (asked.get(text) ?? 0) + 1);
        if (text === "part 8") {
          reached.open();
          await released.opened;
        }
        return { text: `${name} did ${text}`, pid: 0 };
      },
    });
  });
  const mesh = await meshes.join();
  await using first = startAgent(meshes, "desk");
  await first.waitForLine("ready", 20_000);
  const graph = remoteGraph(mesh, desk(mesh));
  const run = graph.invoke(ask("Do it all"), { thread: "t", durability: "sync" });
  await reached.opened;
  await using second = startAgent(meshes, "desk");
  await second.waitForLine("ready", 20_000);
  await first.kill("SIGKILL");
  released.open();
  const { output } = await run;
  const parts = Array.from({ length: 20 }, (_, i) => `part ${i + 1}`);
  const done = parts.map((part, i) => `${i % 2 === 0 ? "bob" : "ada"} did ${part}`);
  const told = output.messages.flatMap((one) => (one.role === "assistant" && one.text) || []);
  expect(told).toEqual([...done, "done"]);
  expect(refusal(output.messages.slice(0, -1))).toBeUndefined();
  // The call that was under way is made again by whoever goes on; no other one is.
  expect(asked.get("part 8")).toBeGreaterThan(1);
  expect(parts.filter((part) => asked.get(part) !== 1)).toEqual(["part 8"]);
});
