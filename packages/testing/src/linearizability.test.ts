import { expect, test } from "vitest";
import { checkLinearizability, type Model, type Operation } from "./linearizability.ts";
import { seededRandom } from "./seeded-random.ts";

type Input =
  | { readonly do: "read"; readonly key?: string }
  | { readonly do: "write"; readonly value: number; readonly key?: string }
  | { readonly do: "swap"; readonly from: number; readonly to: number; readonly key?: string };
type Output = number | boolean;
type Op = Operation<Input, Output>;

const register: Model<number, Input, Output> = {
  initial: 0,
  step(state, input, output) {
    if (input.do === "read") return output === undefined || output === state ? state : undefined;
    if (input.do === "write") return input.value;
    if (output === undefined) return state === input.from ? input.to : state;
    return output === (state === input.from) ? (output ? input.to : state) : undefined;
  },
  show: String,
  partition: ({ key = "" }) => key,
};

const op = (
  calledAt: number,
  answeredAt: number,
  input: Input,
  output: Output | undefined,
): Op => ({
  client: "c",
  calledAt,
  answeredAt,
  input,
  output,
});
const read = (from: number, to: number, value: number | undefined): Op =>
  op(from, to, { do: "read" }, value);
const write = (from: number, to: number, value: number): Op =>
  op(from, to, { do: "write", value }, true);
const lost = (from: number, value: number): Op =>
  op(from, from + 1, { do: "write", value }, undefined);
const swap = (from: number, to: number, a: number, b: number, done: boolean): Op =>
  op(from, to, { do: "swap", from: a, to: b }, done);

const on = (key: string, from: Op): Op => ({ ...from, input: { ...from.input, key } });

const verdict = (history: Op[]): string => checkLinearizability(history, register).kind;

test("reads that see each write once it is answered are linearizable", () => {
  expect(verdict([])).toBe("linearizable");
  expect(verdict([read(0, 1, 0), write(2, 3, 1), read(4, 5, 1)])).toBe("linearizable");
  expect(verdict([write(0, 10, 1), read(1, 2, 0), read(3, 4, 1)])).toBe("linearizable");
  expect(verdict([write(0, 10, 1), write(0, 10, 2), read(11, 12, 1), read(13, 14, 1)])).toBe(
    "linearizable",
  );
});

test("a read of what was overwritten before it began is a violation", () => {
  expect(verdict([write(0, 1, 1), read(2, 3, 0)])).toBe("violated");
  expect(verdict([write(0, 10, 1), read(1, 2, 1), read(3, 4, 0)])).toBe("violated");
  expect(verdict([write(0, 10, 1), write(0, 10, 2), read(11, 12, 1), read(13, 14, 2)])).toBe(
    "violated",
  );
  expect(verdict([read(0, 1, 7)])).toBe("violated");
});

test("of two swaps of the same value one succeeds", () => {
  expect(verdict([swap(0, 5, 0, 1, true), swap(1, 6, 0, 2, false)])).toBe("linearizable");
  expect(verdict([swap(0, 5, 0, 1, true), swap(1, 6, 0, 2, true)])).toBe("violated");
  expect(verdict([swap(0, 5, 0, 1, false)])).toBe("violated");
});

test("a write that was never answered has happened, or will, or never does", () => {
  expect(verdict([lost(0, 1), read(2, 3, 0), read(4, 5, 0)])).toBe("linearizable");
  expect(verdict([lost(0, 1), read(2, 3, 1)])).toBe("linearizable");
  expect(verdict([lost(0, 1), read(2, 3, 0), read(100, 101, 1)])).toBe("linearizable");
  expect(verdict([lost(0, 1), read(2, 3, 1), read(4, 5, 0)])).toBe("violated");
  expect(verdict([read(0, 1, 1), lost(2, 1)])).toBe("violated");
  expect(verdict([lost(0, 1), write(2, 3, 2), read(4, 5, 2), read(6, 7, 1), read(8, 9, 2)])).toBe(
    "violated",
  );
});

test("what is done to different things is judged apart, and a violation tells where and what", () => {
  const good = [on("a", write(0, 1, 1)), on("b", read(2, 3, 0)), on("a", read(2, 3, 1))];
  expect(verdict(good)).toBe("linearizable");
  const stale = on("b", read(6, 7, 0));
  const bad = checkLinearizability([...good, on("b", write(4, 5, 2)), stale], register);
  expect(bad).toMatchObject({ kind: "violated", partition: "b", unexplained: stale });
});

/** Clients of a register that really is one; whatever they record is linearizable. */
function simulate(seed: number, clients: number, count: number): Op[] {
  const random = seededRandom(seed);
  const free = Array.from({ length: clients }, () => 0);
  const started = Array.from({ length: count }, () => {
    const client = Math.floor(random() * clients);
    const calledAt = free[client]! + random() * 3;
    const happensAt = calledAt + random() * 5;
    const answeredAt = happensAt + random() * 5;
    free[client] = answeredAt;
    const value = Math.floor(random() * 4);
    const kinds: Input[] = [
      { do: "read" },
      { do: "write", value },
      { do: "swap", from: Math.floor(random() * 4), to: value },
    ];
    const input = kinds[Math.floor(random() * kinds.length)]!;
    return { client, input, calledAt, happensAt, answeredAt, lost: random() < 0.05 };
  });
  let state = 0;
  return started
    .toSorted((a, b) => a.happensAt - b.happensAt)
    .map(({ client, input, calledAt, answeredAt, lost: unanswered }) => {
      let output: Output = true;
      if (input.do === "read") output = state;
      if (input.do === "swap") output = state === input.from;
      if (input.do === "write") state = input.value;
      if (input.do === "swap" && output) state = input.to;
      return {
        client: String(client),
        input,
        calledAt,
        answeredAt,
        output: unanswered ? undefined : output,
      };
    });
}

test("histories of a real register pass, whatever order and losses, and those with one wrong answer do not all", () => {
  let found = 0;
  for (let seed = 1; seed <= 100; seed++) {
    const history = simulate(seed, 5, 120);
    expect(verdict(history), `seed ${seed}`).toBe("linearizable");
    const reads = history.flatMap((one, n) =>
      one.input.do === "read" && one.output !== undefined ? [n] : [],
    );
    const wrong = reads[Math.floor(reads.length / 2)]!;
    const bent = history.with(wrong, { ...history[wrong]!, output: 99 });
    expect(verdict(bent), `seed ${seed}, bent`).toBe("violated");
    const stale = history.with(wrong, {
      ...history[wrong]!,
      output: ((history[wrong]!.output as number) + 1) % 4,
    });
    if (verdict(stale) === "violated") found++;
  }
  expect(found).toBeGreaterThan(10); // a value that somebody was writing at the same time is no violation
});
