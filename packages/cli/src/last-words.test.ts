import { expect, test } from "vitest";
import { LastWords } from "./last-words.ts";

/** Lives through some lines to a crash; returns what was shown of them, and `same` if that was said instead. */
function live(words: LastWords, ...lines: string[]): string[] {
  words.begin();
  const shown = lines.flatMap((line) => words.say(line));
  return words.crash() ? [...shown, "same"] : [...shown, ...words.release()];
}

test("what a process says before it crashes is shown once, then that it is the same", () => {
  const words = new LastWords();
  expect(live(words, "oh", "no")).toEqual(["oh", "no"]);
  expect(live(words, "oh", "no")).toEqual(["same"]);
  expect(live(words, "oh", "no")).toEqual(["same"]);
});

test("whatever differs is shown from the first held line on, and is what the next life is compared with", () => {
  const words = new LastWords();
  live(words, "oh", "no");
  expect(live(words, "oh", "yes", "no")).toEqual(["oh", "yes", "no"]);
  expect(live(words, "oh", "yes")).toEqual(["oh", "yes"]); // a shorter one is another one
  expect(live(words, "oh", "yes")).toEqual(["same"]);
  expect(live(words, "oh", "yes", "more")).toEqual(["oh", "yes", "more"]);
});

test("a process that says nothing has not said the same", () => {
  const words = new LastWords();
  expect(live(words)).toEqual([]);
  expect(live(words)).toEqual([]);
});

test("lines that were released are shown once", () => {
  const words = new LastWords();
  live(words, "a", "b");
  words.begin();
  expect(words.say("a")).toEqual([]);
  expect(words.holding).toBe(true);
  expect(words.release()).toEqual(["a"]);
  expect(words.say("b")).toEqual([]);
  expect(words.crash()).toBe(true);
});
