import { expect, test } from "vitest";
import { recoveries } from "./recoveries.ts";

const at = (task: string, host: number, startedAt: number) => ({ task, host, startedAt });

test("what counts is the next execution of what a lost host had begun", () => {
  const executions = [
    at("a", 1, 10), // lost with host 1, taken over by host 2, which is lost, too
    at("a", 2, 60),
    at("a", 3, 190),
    at("b", 1, 20), // ended before the loss
    at("c", 3, 30), // executed twice by hosts that were not lost
    at("c", 4, 40),
    at("d", 1, 55), // begun after the host went on
    at("d", 3, 70),
  ];
  const lostAt = new Map([
    [1, 50],
    [2, 100],
  ]);
  expect(recoveries(executions, lostAt)).toEqual([10, 90]);
});
