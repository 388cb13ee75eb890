import { expect, test } from "vitest";
import { addDays, addMonths, monthAt, monthIndex } from "./calendar.ts";

test("months are counted across years", () => {
  expect(addMonths("2000-01", -1)).toBe("1999-12");
  expect(addMonths("1999-12", 13)).toBe("2001-01");
  expect(monthAt(monthIndex("2008-09-15"))).toBe("2008-09");
});

test("days are counted across leap days", () => {
  expect(addDays("2000-02-28", 1)).toBe("2000-02-29");
  expect(addDays("2001-02-28", 1)).toBe("2001-03-01");
  expect(addDays("2019-12-31", 1)).toBe("2020-01-01");
});
