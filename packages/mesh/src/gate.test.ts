import { expect, test } from "vitest";
import { Gate, type Waiting } from "./gate.ts";

/** Work that writes down when it begins, and ends when it is told to. */
function recorder(gate: Gate) {
  const began: number[] = [];
  const work = (n: number): Waiting => ({ start: () => void began.push(n) });
  return { began, admit: (n: number) => gate.admit(work(n)) };
}

test("work begins at once while there are slots, then waits in order, then is refused", () => {
  const gate = new Gate(2, 2);
  const { began, admit } = recorder(gate);
  expect([1, 2, 3, 4, 5].map((n) => admit(n))).toEqual([true, true, true, true, false]);
  expect(began).toEqual([1, 2]);
  expect([gate.running, gate.queued]).toEqual([2, 2]);
  gate.release();
  expect(began).toEqual([1, 2, 3]);
  gate.release();
  gate.release();
  expect(began).toEqual([1, 2, 3, 4]);
  expect([gate.running, gate.queued]).toEqual([1, 0]);
});

test("a hundred thousand pieces of work that end as they begin neither overflow the stack nor keep the event loop", async () => {
  const gate = new Gate(1, 100_000);
  let done = 0;
  const instant: Waiting = {
    start: () => {
      done++;
      gate.release();
    },
  };
  gate.admit({ start: () => undefined });
  for (let n = 0; n < 100_000; n++) gate.admit(instant);
  gate.release();
  expect(done).toBeLessThan(1_000);
  await gate.idle();
  expect(done).toBe(100_000);
  expect([gate.running, gate.queued]).toEqual([0, 0]);
});

test("idle resolves once nothing runs and nothing waits", async () => {
  const gate = new Gate(1, 1);
  await gate.idle();
  const { admit } = recorder(gate);
  admit(1);
  admit(2);
  let idle = false;
  const waiting = gate.idle().then(() => (idle = true));
  gate.release();
  await Promise.resolve();
  expect(idle).toBe(false);
  gate.release();
  await waiting;
  expect(idle).toBe(true);
});

test("what waits can be dropped, and what runs goes on", () => {
  const gate = new Gate(1, 10);
  const { began, admit } = recorder(gate);
  for (const n of [1, 2, 3]) admit(n);
  expect(gate.clear()).toBe(2);
  expect([gate.running, gate.queued]).toEqual([1, 0]);
  gate.release();
  expect(began).toEqual([1]);
  expect(admit(4)).toBe(true);
});
