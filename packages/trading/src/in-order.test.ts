import * as fc from "fast-check";
import { expect, test } from "vitest";
import { InOrder } from "./in-order.ts";

test("any arrival order with any repetitions comes out once, in order", () => {
  const arrivals = fc
    .nat(40)
    .chain((count) =>
      fc.shuffledSubarray([...numbers(count), ...numbers(count)], { minLength: 2 * count }),
    );
  fc.assert(
    fc.property(arrivals, (numbered) => {
      const order = new InOrder<number>();
      const released = numbered.flatMap((number) => order.push(number, number));
      expect(released).toEqual(numbers(numbered.length / 2));
      expect(order.duplicates).toBe(numbered.length / 2);
      expect(order.held).toBe(0);
    }),
  );
});

test("more early items than the limit are an error, and what is held stays held", () => {
  const order = new InOrder<string>(2);
  expect([...order.push(1, "b"), ...order.push(2, "c")]).toEqual([]);
  expect(() => order.push(3, "d")).toThrow(expect.objectContaining({ code: "BUFFER_FULL" }));
  expect(order.push(0, "a")).toEqual(["a", "b", "c"]);
  expect(order.next).toBe(3);
});

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, number) => number);
}
