import { expect, test } from "vitest";
import { z } from "zod";
import {
  ask,
  killedBehindEachRecord,
  overheard,
  refusal,
  script,
} from "../../../../test/support/patterns.ts";
import { Command } from "../command.ts";
import { MemoryCheckpointer } from "../memory-checkpointer.ts";
import type { AgentFunction } from "./agent.ts";
import { handoff } from "./handoff.ts";
import { supervisor } from "./supervisor.ts";

/** Hands off to each of the agents in turn, and then answers what they have answered. */
function inTurn(...agents: (string | readonly string[])[]): AgentFunction {
  return ({ messages }, { visits }) => {
    const next = agents[visits - 1];
    if (next !== undefined) return handoff(next, { task: `part ${visits}` });
    const said = messages.flatMap((one) => (one.role === "assistant" && one.text ? one.text : []));
    return `In all: ${said.join(", ")}`;
  };
}

const math: AgentFunction = ({ task }) => `math did ${task}`;
const poet: AgentFunction = ({ task }) => `poet did ${task}`;

test("agents work for a supervisor, and each hand-off is a tool call with its tool message", async () => {
  const graph = supervisor({ agents: { math, poet }, decide: inTurn("math", "poet") }).compile();
  const { output } = await graph.invoke(ask("Work"));
  expect(script(output.messages)).toEqual([
    "user: Work",
    'supervisor: transfer_to_math({"task":"part 1"})',
    "transfer_to_math = Handed off to math.",
    "math: math did part 1 transfer_back_to_supervisor({})",
    "transfer_back_to_supervisor = Handed back to supervisor.",
    'supervisor: transfer_to_poet({"task":"part 2"})',
    "transfer_to_poet = Handed off to poet.",
    "poet: poet did part 2 transfer_back_to_supervisor({})",
    "transfer_back_to_supervisor = Handed back to supervisor.",
    "supervisor: In all: math did part 1, poet did part 2",
  ]);
  expect(
    refusal([...output.messages, { id: "next", role: "user", text: "Go on" }]),
  ).toBeUndefined();
});

test("every agent is shown what a provider accepts", async () => {
  const agents = [overheard(inTurn("math", ["math", "poet"])), overheard(math), overheard(poet)];
  const [decide, first, second] = agents.map(({ run }) => run);
  await supervisor({ agents: { math: first!, poet: second! }, decide: decide! })
    .compile()
    .invoke(ask("Work"));
  expect(agents.map(({ shown }) => shown.length)).toEqual([3, 2, 1]);
});

test("a supervisor may have several agents work at once: one message calls all of them", async () => {
  let together = 0;
  const meets = Promise.withResolvers<void>();
  const meeting: AgentFunction = async ({ agent }) => {
    if (++together === 2) meets.resolve();
    await meets.promise;
    return agent;
  };
  const graph = supervisor({
    agents: { a: meeting, b: meeting },
    decide: inTurn(["a", "b"]),
  }).compile();
  const { output } = await graph.invoke(ask("Both"));
  expect(script(output.messages).slice(1, 4)).toEqual([
    'supervisor: transfer_to_a({"task":"part 1"}) transfer_to_b({"task":"part 1"})',
    "transfer_to_a = Handed off to a.",
    "transfer_to_b = Handed off to b.",
  ]);
  expect(output.messages.at(-1)).toMatchObject({ text: "In all: a, b" });
});

test("supervisors of supervisors: a team answers as one agent, and its inner talk is its working", async () => {
  const team = () =>
    supervisor({ name: "team", agents: { math, poet }, decide: inTurn("math", "poet") }).compile();
  const boss = overheard(inTurn("research", "writing"));
  const writer = overheard(({ messages }) => `I know of ${messages.length}`);
  const graph = supervisor({
    agents: { research: team(), writing: writer.run },
    decide: boss.run,
  }).compile();
  const { output } = await graph.invoke(ask("Work"));
  expect(script(boss.shown.at(-1)!)).toEqual([
    "user: Work",
    'supervisor: transfer_to_research({"task":"part 1"})',
    "transfer_to_research = Handed off to research.",
    "research: In all: math did part 1, poet did part 2 transfer_back_to_supervisor({})",
    "transfer_back_to_supervisor = Handed back to supervisor.",
    'supervisor: transfer_to_writing({"task":"part 2"})',
    "transfer_to_writing = Handed off to writing.",
    "writing: I know of 7 transfer_back_to_supervisor({})",
    "transfer_back_to_supervisor = Handed back to supervisor.",
  ]);
  const inner = output.messages.filter(({ scratch }) => scratch === "research");
  expect(script(inner)).toContain("math: math did part 1 transfer_back_to_supervisor({})");
});

function workingOf(agent: string, list: readonly { scratch?: string }[] | undefined) {
  return list?.filter(({ scratch }) => scratch === agent).length;
}

const worker: AgentFunction = () => [
  { role: "assistant", text: "I look", toolCalls: [{ id: "c1", name: "search", input: {} }] },
  { role: "tool", results: [{ id: "c1", name: "search", output: "found" }] },
  { role: "assistant", text: "done" },
];

test.each([
  { share: "final" as const, seen: 0 },
  { share: "full" as const, seen: 2 },
])(
  "with sharing $share, others see $seen messages of an agent's working",
  async ({ share, seen }) => {
    const other = overheard(() => "seen");
    const again = overheard(worker);
    const graph = supervisor({
      agents: { worker: again.run, other: other.run },
      decide: inTurn("worker", "other", "worker"),
      share,
    }).compile();
    const { output } = await graph.invoke(ask("Work"));
    expect(workingOf("worker", output.messages), "nothing is lost").toBe(4);
    expect(workingOf("worker", other.shown[0])).toBe(seen);
    expect(workingOf("worker", again.shown[1]), "its own it always sees").toBe(2);
  },
);

test("an agent is shown no more than the token cap, cut between messages that belong together", async () => {
  const decide = overheard(inTurn("math", "math", "math", "math", "math"));
  const graph = supervisor({
    agents: { math },
    decide: decide.run,
    maxTokens: 120,
    countTokens: () => 20,
  }).compile();
  await graph.invoke(ask("Work"));
  expect(decide.shown.map(({ length }) => length)).toEqual([1, 5, 5, 5, 5, 5]);
  expect(decide.shown.at(-1)![0]).toMatchObject({ role: "user", text: "Work" });
});

test("an agent that throws fails the run, by name; resumed, the run goes on from there", async () => {
  let down = true;
  const fragile: AgentFunction = () => {
    if (down) throw new Error("no disk");
    return "well";
  };
  const graph = supervisor({ agents: { fragile }, decide: inTurn("fragile") }).compile({
    checkpointer: new MemoryCheckpointer(),
  });
  await expect(graph.invoke(ask("Work"), { thread: "t" })).rejects.toMatchObject({
    code: "AGENT_FAILED",
    message: "Node fragile: Error: no disk",
  });
  down = false;
  const { output } = await graph.invoke(null, { thread: "t" });
  expect(output.messages.at(-1)).toMatchObject({ text: "In all: well" });
});

const broken: AgentFunction = () => {
  throw new Error("no disk");
};

test("where failures are reported, the supervisor is told and decides", async () => {
  const decide = overheard(inTurn("fragile", "math"));
  const graph = supervisor({
    agents: { fragile: broken, math },
    decide: decide.run,
    onError: "report",
  }).compile();
  const { output } = await graph.invoke(ask("Work"));
  expect(script(output.messages)).toContain(
    "fragile: Failed: Node fragile: Error: no disk transfer_back_to_supervisor({})",
  );
  expect(output.messages.at(-1)).toMatchObject({
    text: expect.stringContaining("math did part 2"),
  });
});

test("a hand-off to nobody there is named, with those who are", async () => {
  const graph = supervisor({ agents: { math, poet }, decide: inTurn("mth") }).compile();
  await expect(graph.invoke(ask("Work"))).rejects.toMatchObject({
    code: "INVALID_OUTPUT",
    message: "Node supervisor: it hands off to mth, which is none of math, poet",
  });
});

const pushy: AgentFunction = () => handoff("math");

test("an agent of a supervisor that hands off itself is refused", async () => {
  const graph = supervisor({ agents: { pushy, math }, decide: inTurn("pushy") }).compile();
  await expect(graph.invoke(ask("Work"))).rejects.toThrow("agents of supervisor do not hand off");
});

test("a supervisor that never answers is stopped, and the error shows who was at it", async () => {
  const graph = supervisor({
    agents: { math, poet },
    decide: (_, { visits }) => handoff(visits % 2 === 0 ? "math" : "poet"),
    maxTurns: 6,
  }).compile();
  await expect(graph.invoke(ask("Work"))).rejects.toMatchObject({
    code: "STEP_LIMIT",
    message:
      "Node supervisor: it has decided 6 times without an answer (… → math → supervisor → poet → supervisor → math → supervisor): raise maxTurns, or have it end",
  });
});

test("names that providers would not take, and agents that are none, are refused when the pattern is written", () => {
  const build = (agents: Record<string, unknown>) => () =>
    supervisor({ agents: agents as { math: AgentFunction }, decide: math });
  expect(build({})).toThrow("it needs 1 or more agents");
  expect(build({ supervisor: math })).toThrow("an agent cannot be called supervisor");
  expect(build({ "7": math })).toThrow("7 is no name of an agent");
  expect(build({ ["a".repeat(48)]: math })).toThrow("is no name of an agent");
  expect(build({ math: { run: 7 } })).toThrow("neither a function nor a compiled graph");
  expect(() => supervisor({ agents: { math }, decide: math, maxTokens: 0 })).toThrow("maxTokens");
});

const clerk: AgentFunction = (_, context) =>
  `they say ${context.interrupt("May I?", z.enum(["yes", "no"]))}`;

test("an agent may ask a human: the run waits, and goes on with the answer", async () => {
  const graph = supervisor({ agents: { clerk }, decide: inTurn("clerk") }).compile({
    checkpointer: new MemoryCheckpointer(),
  });
  const asked = await graph.invoke(ask("Work"), { thread: "t" });
  expect(asked.interrupts[0]?.value).toBe("May I?");
  const { output } = await graph.invoke(new Command({ resume: "yes" }), { thread: "t" });
  expect(output.messages.at(-1)).toMatchObject({ text: "In all: they say yes" });
});

test("killed behind any record and resumed, a hierarchy comes to the same history, ids included", async () => {
  const { output, kills } = await killedBehindEachRecord((checkpointer) => {
    const team = supervisor({ name: "team", agents: { worker, math }, decide: inTurn("worker") });
    return supervisor({
      agents: { team: team.compile(), math, poet },
      decide: inTurn("team", ["math", "poet"]),
      share: "full",
    }).compile({ checkpointer });
  }, ask("Work"));
  expect(kills).toBeGreaterThan(8);
  expect(refusal(output.messages.slice(0, -1))).toBeUndefined();
});
