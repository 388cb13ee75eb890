import { expect, test } from "vitest";
import {
  ask,
  killedBehindEachRecord,
  overheard,
  refusal,
  script,
} from "../../../../test/support/patterns.ts";
import { MemoryCheckpointer } from "../memory-checkpointer.ts";
import type { AgentFunction } from "./agent.ts";
import { handoff } from "./handoff.ts";
import { network } from "./network.ts";
import { sequential } from "./sequential.ts";

/** Hands off when the last thing a user said names another agent. */
const triage: AgentFunction = ({ agent, messages, handoffs, task }) => {
  const said = messages.findLast(({ role }) => role === "user");
  const text = said?.role === "user" ? said.text : "";
  const other = handoffs.find(({ name }) => text.includes(name));
  return other === undefined || task !== undefined
    ? `${agent} answers`
    : handoff(other.name, { task: text, text: "One moment." });
};

test("agents hand off directly to each other, and each is shown what a provider accepts", async () => {
  const agents = { sales: overheard(triage), billing: overheard(triage) };
  const graph = network({ agents: { sales: agents.sales.run, billing: agents.billing.run } });
  const { output } = await graph.compile().invoke(ask("to billing"));
  expect(script(output.messages)).toEqual([
    "user: to billing",
    'sales: One moment. transfer_to_billing({"task":"to billing"})',
    "transfer_to_billing = Handed off to billing.",
    "billing: billing answers",
  ]);
  expect(output.active).toBe("billing");
  expect(agents.billing.shown).toHaveLength(1);
});

test("the next run on the thread speaks to who has answered last, whose task is not the old one", async () => {
  const tasks: (string | undefined)[] = [];
  const billing: AgentFunction = ({ task }) => {
    tasks.push(task);
    return "billing answers";
  };
  const checkpointer = new MemoryCheckpointer();
  const graph = network({ agents: { sales: triage, billing } }).compile({ checkpointer });
  await graph.invoke(ask("to billing"), { thread: "t" });
  const { output } = await graph.invoke(ask("and then?"), { thread: "t" });
  expect(script(output.messages).slice(4)).toEqual(["user: and then?", "billing: billing answers"]);
  expect(tasks).toEqual(["to billing", undefined]);
});

test("a thread that was left with an agent that is gone begins with the first one again", async () => {
  const checkpointer = new MemoryCheckpointer();
  const before = network({ agents: { sales: triage, billing: triage } }).compile({ checkpointer });
  await before.invoke(ask("to billing"), { thread: "t" });
  const after = network({ agents: { sales: triage, refunds: triage } }).compile({ checkpointer });
  const { output } = await after.invoke(ask("hello"), { thread: "t" });
  expect(output.messages.at(-1)).toMatchObject({ name: "sales", text: "sales answers" });
});

test("who may hand off to whom is a matter of the network", async () => {
  const graph = network({
    agents: {
      sales: { run: () => handoff("secret"), handoffs: ["billing"] },
      billing: triage,
      secret: triage,
    },
  }).compile();
  await expect(graph.invoke(ask("hello"))).rejects.toMatchObject({
    code: "INVALID_OUTPUT",
    message: "Node sales: it hands off to secret, which is none of billing",
  });
  expect(() => network({ agents: { a: { run: triage, handoffs: ["typo"] } } })).toThrow(
    "there is no agent typo",
  );
  expect(() => network({ agents: { a: triage }, start: "typo" })).toThrow("there is no agent typo");
});

test("an endless ping-pong is stopped, and the error shows who was at it", async () => {
  let turns = 0;
  const ping: AgentFunction = ({ handoffs }) => {
    turns++;
    return handoff(handoffs[0]!.name);
  };
  const graph = network({ agents: { ping, pong: ping }, maxHandoffs: 5 }).compile();
  await expect(graph.invoke(ask("go"))).rejects.toMatchObject({
    code: "STEP_LIMIT",
    message:
      "Node ping: nobody has answered after 5 hand-offs (… → pong → ping → pong → ping → pong → ping): raise maxHandoffs, or have somebody answer",
  });
  expect(turns).toBe(6);
});

const relay: AgentFunction = ({ handoffs }, { step }) =>
  step <= 5 ? handoff(handoffs[0]!.name) : "at last";

test("an agent may hand off as often as is allowed, and its peer answers", async () => {
  const graph = network({ agents: { a: relay, b: relay }, maxHandoffs: 5 }).compile();
  const { output } = await graph.invoke(ask("go"));
  expect(output.messages.at(-1)).toMatchObject({ text: "at last" });
});

test("only one agent goes on: a function that hands off to two is wrong", async () => {
  const graph = network({
    agents: { a: () => handoff(["b", "c"]), b: triage, c: triage },
  }).compile();
  await expect(graph.invoke(ask("go"))).rejects.toThrow(
    "Node a: it hands off to c as well, and only one agent can go on",
  );
});

test("an agent that throws fails the run, and a second attempt goes on with the agent that had the floor", async () => {
  let broken = true;
  const billing: AgentFunction = () => {
    if (broken) throw new Error("no ledger");
    return "paid";
  };
  const checkpointer = new MemoryCheckpointer();
  const graph = network({ agents: { sales: triage, billing } }).compile({ checkpointer });
  await expect(graph.invoke(ask("to billing"), { thread: "t" })).rejects.toThrow(
    "Node billing: Error: no ledger",
  );
  broken = false;
  const { output } = await graph.invoke(null, { thread: "t" });
  expect(output.messages.at(-1)).toMatchObject({ name: "billing", text: "paid" });
  broken = true;
  await expect(graph.invoke(ask("again"), { thread: "t" })).rejects.toThrow("Node billing");
  await expect(graph.invoke(ask("to billing"), { thread: "u" })).rejects.toThrow("Node billing");
  expect((await graph.getState("u")).values).toMatchObject({ active: "billing" });
});

const replies = (reply: unknown) =>
  network({ agents: { odd: () => reply as string } })
    .compile()
    .invoke(ask("go"));

test("what is no reply is refused, with the agent's name", async () => {
  const problem = "neither a text, nor messages that end with its answer, nor a hand-off";
  await expect(replies(7)).rejects.toThrow(`Node odd: its reply is ${problem}`);
  await expect(replies(undefined)).rejects.toThrow(problem);
  await expect(replies([{ role: "user", text: "me?" }])).rejects.toThrow(problem);
});

const whole: AgentFunction = ({ messages }) => [...messages, { role: "assistant", text: "so" }];

test("an agent may return the whole conversation: what is known of it stays as it is", async () => {
  const graph = sequential({ agents: { a: whole, b: whole } }).compile();
  const { output } = await graph.invoke(ask("go"));
  expect(output.messages.map(({ role, scratch }) => [role, scratch])).toEqual([
    ["user", undefined],
    ["assistant", undefined],
    ["tool", undefined],
    ["assistant", undefined],
  ]);
});

test("a call that an agent leaves without its result is refused: no provider would take the history", async () => {
  const call = { id: "c1", name: "search", input: {} };
  const sloppy: AgentFunction = () => [
    { role: "assistant", text: "", toolCalls: [call] },
    { role: "assistant", text: "never mind" },
  ];
  const graph = network({ agents: { sloppy } }).compile();
  await expect(graph.invoke(ask("go"))).rejects.toMatchObject({
    code: "INVALID_OUTPUT",
    message: expect.stringContaining(
      "the call of search as c1 is not followed by a tool message with its result",
    ),
  });
});

test("killed behind any record and resumed, a network comes to the same history", async () => {
  const { output, kills } = await killedBehindEachRecord(
    (checkpointer) =>
      network({
        agents: {
          sales: triage,
          billing: ({ task }) => handoff("expert", { task: `${task}!` }),
          expert: triage,
        },
      }).compile({ checkpointer }),
    ask("to billing"),
  );
  expect(kills).toBeGreaterThan(4);
  expect(output.active).toBe("expert");
});

const last: AgentFunction = ({ messages }) => {
  const said = messages.findLast(({ role }) => role === "assistant");
  return said?.role === "assistant" ? `${said.text}.` : "nothing";
};

test("in a sequence, each agent goes on with what the one before it has answered", async () => {
  const agents = [overheard(() => "draft"), overheard(last), overheard(last)];
  const [write, edit, print] = agents.map(({ run }) => run);
  const graph = sequential({ agents: { write: write!, edit: edit!, print: print! } }).compile();
  const { output } = await graph.invoke(ask("a text"));
  expect(script(output.messages)).toEqual([
    "user: a text",
    "write: draft transfer_to_edit({})",
    "transfer_to_edit = Handed off to edit.",
    "edit: draft. transfer_to_print({})",
    "transfer_to_print = Handed off to print.",
    "print: draft..",
  ]);
  expect(agents.map(({ shown }) => shown.length)).toEqual([1, 1, 1]);
});

test("a sequence retries an agent, and fails with its name; hand-offs are not for it", async () => {
  let attempts = 0;
  const flaky: AgentFunction = () => {
    if (++attempts < 3) throw new Error("not yet");
    return "now";
  };
  const retried = sequential({
    agents: { flaky: { run: flaky, retry: { attempts: 3, first: 1 } } },
  });
  const { output } = await retried.compile().invoke(ask("go"));
  expect(output.messages.at(-1)).toMatchObject({ text: "now" });
  const slow = sequential({
    agents: { slow: { run: () => new Promise<string>(() => undefined), timeout: 20 } },
  });
  await expect(slow.compile().invoke(ask("go"))).rejects.toMatchObject({
    code: "TIMEOUT",
    message: "Node slow: it has not ended within 20 ms",
  });
  const pushy = sequential({ agents: { a: () => handoff("b"), b: () => "b" } });
  await expect(pushy.compile().invoke(ask("go"))).rejects.toThrow(
    "agents of sequential do not hand off",
  );
});

test("killed behind any record and resumed, a sequence with a network in it comes to the same history", async () => {
  const { output, kills } = await killedBehindEachRecord((checkpointer) => {
    const desk = network({ agents: { sales: triage, billing: triage } }).compile();
    return sequential({ agents: { hear: () => "heard", desk, tell: () => "told" } }).compile({
      checkpointer,
    });
  }, ask("to billing"));
  expect(kills).toBeGreaterThan(6);
  expect(script(output.messages).slice(-3)).toEqual([
    "desk: billing answers transfer_to_tell({})",
    "transfer_to_tell = Handed off to tell.",
    "tell: told",
  ]);
  expect(refusal(output.messages.slice(0, -1))).toBeUndefined();
});
