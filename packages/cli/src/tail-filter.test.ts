import type { InstanceInfo, TappedMessage } from "@plexus/mesh";
import { expect, test } from "vitest";
import { createFilter, localSubject, type TailFilter } from "./tail-filter.ts";

const instances = [{ agent: "analyst", instance: "desk-abc-1" }] as InstanceInfo[];
const mesh = {
  mesh: "m",
  agents: (agent?: unknown) => instances.filter((info) => info.agent === agent),
};

function passes(filter: TailFilter, message: Partial<TappedMessage>): boolean {
  return createFilter(
    mesh,
    filter,
  )({
    subject: "m.evt.bars.SPX",
    kind: "event",
    name: "bars",
    sender: "feed-xyz",
    value: undefined,
    ...message,
  } as TappedMessage);
}

test("subjects lose the mesh's name", () => {
  expect(localSubject("m", "m.rpc.a.c")).toBe("rpc.a.c");
  expect(localSubject("m", "_INBOX.m.cli-1.7")).toBe("inbox.cli-1.7");
});

test.each([
  ["evt", true],
  ["evt.bars", true],
  ["evt.bars.SPX", true],
  ["evt.bars.SPX.x", false],
  ["evt.ba", false],
  ["evt.*.SPX", true],
  ["evt.*", false],
  ["evt.bars.*", true],
  ["evt.>", true],
  ["evt.bars.SPX.>", false],
  ["rpc", false],
])("the pattern %s", (pattern, expected) => {
  expect(passes({ pattern }, {})).toBe(expected);
});

test("messages to and from an agent's processes concern it", () => {
  const filter = { agent: "analyst" };
  expect(passes(filter, { subject: "m.rpc.analyst.score.i.desk-abc-1" })).toBe(true);
  expect(passes(filter, { subject: "_INBOX.m.cli", sender: "desk-abc-1" })).toBe(true);
  expect(passes(filter, { subject: "m.ctl.desk-abc-1" })).toBe(true);
  expect(passes(filter, { sender: "desk-abc" })).toBe(true);
  expect(passes(filter, {})).toBe(false);
  expect(passes(filter, { subject: "m.rpc.clerk.score" })).toBe(false);
});

test("all filters must agree", () => {
  expect(passes({ kind: ["request", "event"], sender: "feed", name: "bars" }, {})).toBe(true);
  expect(passes({ kind: ["request"] }, {})).toBe(false);
  expect(passes({ sender: "desk" }, {})).toBe(false);
  expect(passes({ name: "bar" }, {})).toBe(false);
});

test("text is found in the decoded content", () => {
  const value = { note: "a big move", by: 12n };
  expect(passes({ match: "big move" }, { value })).toBe(true);
  expect(passes({ match: "12n" }, { value })).toBe(true);
  expect(passes({ match: "bars" }, { value })).toBe(true);
  expect(passes({ match: "small" }, { value })).toBe(false);
});
