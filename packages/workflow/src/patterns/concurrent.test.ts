import { expect, test } from "vitest";
import {
  ask,
  killedBehindEachRecord,
  overheard,
  script,
} from "../../../../test/support/patterns.ts";
import { MemoryCheckpointer } from "../memory-checkpointer.ts";
import type { AgentFunction } from "./agent.ts";
import { concurrent, type AggregateInput } from "./concurrent.ts";
import { debate, type DebateOptions, type JudgeInput } from "./debate.ts";
import { handoff } from "./handoff.ts";
import { sequential } from "./sequential.ts";

const joined = ({ answers }: AggregateInput): string => answers.map(({ text }) => text).join(" + ");

test("all are asked at once, in the dark of each other, and one answer is made of all", async () => {
  const meets = Promise.withResolvers<void>();
  let here = 0;
  const expert = (text: string) =>
    overheard(async () => {
      if (++here === 3) meets.resolve();
      await meets.promise;
      return text;
    });
  const experts = [expert("one"), expert("two"), expert("three")];
  const [a, b, c] = experts.map(({ run }) => run);
  const graph = concurrent({ agents: { a: a!, b: b!, c: c! }, aggregate: joined }).compile();
  const { output } = await graph.invoke(ask("Count"));
  expect(script(output.messages)).toEqual([
    "user: Count",
    "aggregate: ask_a({}) ask_b({}) ask_c({})",
    "ask_a = one",
    "ask_b = two",
    "ask_c = three",
    "aggregate: one + two + three",
  ]);
  for (const { shown } of experts) expect(shown[0]).toHaveLength(1);
});

test("the aggregation is shown a conversation that a provider accepts, with the answers as results of its calls", async () => {
  const judge = overheard(({ messages }) => `of ${messages.length} messages`);
  const graph = concurrent({ agents: { a: () => "a", b: () => "b" }, aggregate: judge.run });
  const { output } = await graph.compile().invoke(ask("Count"));
  expect(output.messages.at(-1)).toMatchObject({ text: "of 3 messages" });
});

test("a second run on the thread is about its own answers", async () => {
  const checkpointer = new MemoryCheckpointer();
  let run = 0;
  const graph = concurrent({
    agents: { a: () => `a${run}`, b: () => `b${run}` },
    aggregate: joined,
  }).compile({ checkpointer });
  await graph.invoke(ask("first"), { thread: "t" });
  run = 1;
  const { output } = await graph.invoke(ask("second"), { thread: "t" });
  expect(output.messages.at(-1)).toMatchObject({ text: "a1 + b1" });
});

const broken: AgentFunction = () => {
  throw new Error("no disk");
};

const aggregate = ({ answers }: AggregateInput): string =>
  answers.flatMap(({ failed, text }) => (failed === true ? [] : text)).join();

test("an agent that throws fails the run, by name; where failures are reported, the others' answers are used", async () => {
  const agents = { broken, well: () => "well" };
  await expect(
    concurrent({ agents, aggregate: joined }).compile().invoke(ask("go")),
  ).rejects.toThrow("Node broken: Error: no disk");
  const graph = concurrent({ agents, aggregate, onError: "report" }).compile();
  const { output } = await graph.invoke(ask("go"));
  expect(output.messages.at(-1)).toMatchObject({ text: "well" });
  expect(script(output.messages)).toContain(
    "ask_broken failed = Failed: Node broken: Error: no disk",
  );
});

test("nobody hands off in a concurrent pattern, nor does the aggregation", async () => {
  const pushy = concurrent({ agents: { a: () => handoff("b"), b: () => "b" }, aggregate: joined });
  await expect(pushy.compile().invoke(ask("go"))).rejects.toThrow(
    "Node a: it hands off to b, and agents of concurrent do not hand off",
  );
  const late = concurrent({ agents: { a: () => "a" }, aggregate: () => handoff("a") });
  await expect(late.compile().invoke(ask("go"))).rejects.toThrow("Node aggregate: it hands off");
});

test("killed behind any record and resumed, concurrent agents come to the same history", async () => {
  const { output } = await killedBehindEachRecord((checkpointer) => {
    const team = sequential({ agents: { x: () => "x", y: () => "y" } }).compile();
    return concurrent({
      agents: { team, a: async () => "a", b: () => "b" },
      aggregate: joined,
      share: "full",
    }).compile({ checkpointer });
  }, ask("go"));
  expect(output.messages.at(-1)).toMatchObject({ text: "y + a + b" });
});

/** Says one after the other. */
const says =
  (...lines: string[]): AgentFunction =>
  (_, { visits }) =>
    lines[visits - 1] ?? lines.at(-1)!;

const atLast = ({ round, last, statements }: JudgeInput): string | undefined =>
  last ? `after ${round}: ${statements.map(({ text }) => text).join(" or ")}` : undefined;

function argue(options: Partial<DebateOptions>) {
  const agents = { pro: says("p1", "p2", "p3"), con: says("c1", "c2", "c3") };
  return debate({ agents, judge: atLast, ...options }).compile();
}

test("debaters argue in rounds, and the judge decides in the last one", async () => {
  const { output } = await argue({ rounds: 2 }).invoke(ask("Should we?"));
  expect(script(output.messages)).toEqual([
    "user: Should we?",
    "judge: ask_pro({}) ask_con({})",
    "ask_pro = p1",
    "ask_con = c1",
    "judge: ask_pro({}) ask_con({})",
    "ask_pro = p2",
    "ask_con = c2",
    "judge: after 2: p2 or c2",
  ]);
});

test("who argues knows what the others have said before, and what it has said itself", async () => {
  const pro = overheard(says("p1", "p2"));
  const judge = overheard((input) => atLast(input as JudgeInput) as string);
  await argue({
    agents: { pro: pro.run, con: says("c1", "c2"), eve: says("e1") },
    rounds: 3,
    judge: judge.run,
  }).invoke(ask("Should we?"));
  expect(script(pro.shown[2]!)).toEqual([
    "user: Should we?",
    "pro: p1",
    "user: con: c1\n\neve: e1",
    "pro: p2",
    "user: con: c2\n\neve: e1",
  ]);
  expect(judge.shown.map(({ length }) => length)).toEqual([3, 5, 7]);
});

const soon = ({ round }: JudgeInput) => (round === 2 ? "enough" : undefined);

test("a debate within a debate is its team's working, and no round of the one around it", async () => {
  const inner = debate({
    agents: { x: says("x1"), y: says("y1") },
    judge: () => "inner verdict",
  }).compile();
  const pro = overheard(says("p1", "p2"));
  await argue({ agents: { pro: pro.run, team: inner }, rounds: 2, share: "full" }).invoke(ask("?"));
  expect(script(pro.shown[1]!)).toEqual([
    "user: ?",
    "judge: ask_x({}) ask_y({})",
    "ask_x = x1",
    "ask_y = y1",
    "pro: p1",
    "user: team: inner verdict",
  ]);
});

test("a judge may end the debate early", async () => {
  const { output } = await argue({ rounds: 9, judge: soon }).invoke(ask("Should we?"));
  expect(output.messages.at(-1)).toMatchObject({ text: "enough" });
});

test("debaters who agree end the debate, and the judge is not asked", async () => {
  const agents = { pro: says("no", "  Yes, both"), con: says("maybe", "yes,  BOTH ") };
  const judged: number[] = [];
  const judge = ({ round }: JudgeInput): undefined => void judged.push(round);
  const { output } = await argue({ agents, judge, rounds: 5 }).invoke(ask("Should we?"));
  expect(output.messages.at(-1)).toMatchObject({ name: "judge", text: "  Yes, both" });
  expect(judged).toEqual([1]);
});

test("debaters who agree are those who have spoken: a failure is no position", async () => {
  const agents = { broken, pro: says("yes"), con: says("Yes") };
  const { output } = await argue({ agents, onError: "report" }).invoke(ask("Should we?"));
  expect(output.messages.at(-1)).toMatchObject({ text: "yes" });
});

test("a second debate on the thread is about its own statements", async () => {
  const graph = debate({
    agents: { pro: says("p"), con: says("c") },
    judge: ({ statements }) => `of ${statements.length}`,
  }).compile({ checkpointer: new MemoryCheckpointer() });
  await graph.invoke(ask("first"), { thread: "t" });
  const { output } = await graph.invoke(ask("second"), { thread: "t" });
  expect(output.messages.at(-1)).toMatchObject({ text: "of 2" });
});

test("a judge that never decides fails the debate, with a clear error", async () => {
  const never = argue({ rounds: 4, judge: () => undefined });
  await expect(never.invoke(ask("Should we?"))).rejects.toMatchObject({
    code: "STEP_LIMIT",
    message: "Node judge: it has not decided, and was to after 4 rounds",
  });
});

test("a debater that throws fails the debate; reported, it has failed that round, and is no agreement", async () => {
  const agents = { broken, con: says("c1") };
  await expect(argue({ agents }).invoke(ask("Should we?"))).rejects.toThrow("Node broken: Error");
  const { output } = await argue({ agents, onError: "report", rounds: 1 }).invoke(ask("Well?"));
  expect(output.messages.at(-1)).toMatchObject({
    text: expect.stringMatching(/^after 1: Failed.* or c1$/),
  });
});

test("a debate needs two, and a round", () => {
  expect(() => argue({ agents: { alone: says("a") } })).toThrow("it needs 2 or more agents");
  expect(() => argue({ rounds: 0 })).toThrow("rounds must be 1 or more");
});

test("killed behind any record and resumed, a debate comes to the same verdict and history", async () => {
  const { kills } = await killedBehindEachRecord(
    (checkpointer) =>
      debate({ agents: { pro: says("p1", "p2"), con: says("c1", "c2") }, judge: atLast }).compile({
        checkpointer,
      }),
    ask("Should we?"),
  );
  expect(kills).toBeGreaterThan(10);
});
