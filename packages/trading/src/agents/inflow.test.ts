import { expect, test } from "vitest";
import { Inflow, type Origin } from "./inflow.ts";

const at = (seq: number, sender = "feed", subject = "bars.0"): Origin => ({ sender, subject, seq });

test("the end has come when every publisher has ended every subject", () => {
  const inflow = new Inflow(2);
  expect(inflow.item(at(1))).toBe(true);
  expect(inflow.end(at(2))).toBe(false);
  expect(inflow.item(at(1, "other"))).toBe(true);
  expect(inflow.ended).toBe(false);
  expect(inflow.end(at(2, "other"))).toBe(true);
  expect(inflow.ended).toBe(true);
});

test("what comes again, end markers included, is counted and ignored", () => {
  const inflow = new Inflow(2);
  expect(inflow.item(at(1))).toBe(true);
  expect(inflow.item(at(1))).toBe(false);
  expect(inflow.item(at(1, "feed", "bars.1"))).toBe(true);
  expect(inflow.end(at(2))).toBe(false);
  expect(inflow.end(at(2))).toBe(false);
  expect(inflow.ended).toBe(false);
  expect(inflow.duplicates).toBe(2);
});
