import { expect, test } from "vitest";
import { Inflow } from "./inflow.ts";

const station = (handled: Record<string, number> = {}) => ({
  handled: new Map(Object.entries(handled)),
  duplicates: { value: 0 },
  missing: { value: 0 },
});
const item = (number: number) => ({ kind: "bars", number });
const end = (number: number) => ({ kind: "end", number });

test("the end has come when every subject has ended", () => {
  const inflow = new Inflow(station(), 2);
  expect(inflow.take("bars.a", item(0))).toBe("new");
  expect(inflow.take("bars.a", end(1))).toBe("new");
  expect(inflow.ended).toBe(false);
  expect(inflow.take("bars.b", end(0))).toBe("new");
  expect(inflow.ended).toBe(true);
});

test("what comes again, end markers included, is counted and ignored", () => {
  const own = station();
  const inflow = new Inflow(own, 2);
  inflow.take("bars.a", item(0));
  expect(inflow.take("bars.a", item(0))).toBe("repeated");
  inflow.take("bars.a", end(1));
  expect(inflow.take("bars.a", end(1))).toBe("repeated");
  expect(inflow.ended).toBe(false);
  expect(own).toMatchObject({ duplicates: { value: 2 }, missing: { value: 0 } });
});

test("numbers that are passed over are counted as missing", () => {
  const own = station();
  const inflow = new Inflow(own, 1);
  inflow.take("bars.a", item(0));
  expect(inflow.take("bars.a", item(4))).toBe("new");
  expect(own.missing.value).toBe(3);
});

test("what a predecessor has handled is known, and what it has not is new", () => {
  const own = station({ "bars.a": 2 });
  const inflow = new Inflow(own, 1);
  const turns = [0, 1, 2].map((number) => inflow.take("bars.a", item(number)));
  expect(turns).toEqual(["known", "known", "new"]);
  expect(inflow.take("bars.b", item(0))).toBe("new");
  expect(own).toMatchObject({ duplicates: { value: 0 }, missing: { value: 0 } });
  expect(own.handled).toEqual(
    new Map([
      ["bars.a", 3],
      ["bars.b", 1],
    ]),
  );
});
