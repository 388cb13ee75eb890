import { expect, test } from "vitest";
import { harmless, oneLine, shorten, table, toJson, toLine, toText, uptime } from "./output.ts";

test("every kind of payload becomes JSON", () => {
  const value = {
    big: 2n ** 64n,
    bytes: new Uint8Array([1, 2, 255]),
    date: new Date(0),
    list: [new Set([1n])],
    map: new Map([["a", new Map([[1, 2]])]]),
    nothing: null,
  };
  expect(toJson(value)).toEqual({
    big: "18446744073709551616",
    bytes: "AQL/",
    date: "1970-01-01T00:00:00.000Z",
    list: [["1"]],
    map: { a: [[1, 2]] },
    nothing: null,
  });
});

test("a person sees text as it is, and binary as hex", () => {
  expect(toText("two\nlines")).toBe("two\nlines");
  expect(toText({ raw: [new Uint8Array([10, 11])] })).toBe("{ raw: [ <Buffer 0a 0b> ] }");
  expect(toText(new Map([["k", new Uint8Array([1])]]))).toBe("Map(1) { 'k' => <Buffer 01> }");
});

test("a long text is shortened to what fits", () => {
  expect(shorten("12345", 5)).toBe("12345");
  expect(shorten("123456", 5)).toBe("1234…");
});

test("what others have written has no power over the terminal", () => {
  expect(oneLine("bad \u001b[31mred\nnext\u009b")).toBe("bad \\x1b[31mred\\nnext\\x9b");
  expect(harmless("bad \u001b[31mred\n\tnext\r\u009b")).toBe("bad \\x1b[31mred\n\tnext\\x0d\\x9b");
  expect(oneLine("a\tb")).toBe("a\\x09b");
  expect(oneLine("größer als 日本")).toBe("größer als 日本");
});

test("a value on one line has no line break", () => {
  expect(
    toLine({ text: "two\nlines", deep: { list: Array.from({ length: 50 }, () => "x") } }),
  ).not.toContain("\n");
  expect(toLine(undefined)).toBe("");
});

test("columns line up, colours not counted", () => {
  const red = "\u001B[31mab\u001B[39m";
  expect(
    table(
      ["A", "B"],
      [
        [red, "1"],
        ["abcd", "2"],
      ],
    ),
  ).toEqual(["A     B", `${red}    1`, "abcd  2"]);
});

test.each([
  [0.4, "0s"],
  [59, "59s"],
  [60, "1m"],
  [3_725, "1h 2m"],
  [93_784, "1d 2h"],
])("%d seconds are %s", (seconds, text) => {
  expect(uptime(seconds)).toBe(text);
});
