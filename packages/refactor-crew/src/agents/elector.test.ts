import { expect, test } from "vitest";
import { preference } from "./elector.ts";

const names = { ours: "addCartQuantity", theirs: "addCartUnits" };
const nothing = new Map<string, string>();

test("the reviewer wants the longer name, the tester the shorter one, whoever came first", () => {
  expect(preference("reviewer", names, nothing).prefers).toBe("ours");
  expect(preference("tester", names, nothing).prefers).toBe("theirs");
  const turned = { ours: names.theirs, theirs: names.ours };
  expect(preference("reviewer", turned, nothing).prefers).toBe("theirs");
  expect(preference("tester", turned, nothing).prefers).toBe("ours");
});

test("the integrator goes with the words of the project, and with what is there if it uses neither", () => {
  const text = "addCartUnits(1); getQuantity(2); reserveQuantity(3); addCartUnits(4);";
  expect(preference("integrator", names, new Map([["src/a.ts", text]])).prefers).toBe("ours");
  expect(preference("integrator", names, nothing).prefers).toBe("theirs");
});

test("what is about more than a name is merged, if anything", () => {
  expect(preference("reviewer", undefined, nothing).prefers).toBe("merged");
});
