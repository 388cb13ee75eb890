import { expect, test } from "vitest";
import { demandPath, foldPath, matchesGlob } from "./workspace-path.ts";

test.each([
  ["", "it is empty"],
  ["/etc/passwd", "it is absolute"],
  ["a//b", "a name in it is empty"],
  ["a/", "a name in it is empty"],
  ["../a", '".." is no name'],
  ["a/../../b", '".." is no name'],
  ["./a", '"." is no name'],
  ["a\0b", "control character"],
  ["a\nb", "control character"],
  ["a\\..\\b", "backslash"],
  [".git/hooks/pre-commit", "git's own"],
  ["sub/.GIT/config", "git's own"],
  ["a".repeat(4_096), "longer than 1024 bytes"],
  ["ä".repeat(513), "longer than 1024 bytes"],
  [`a/${"b".repeat(256)}`, "longer than 255 bytes"],
  ["\uD800", "surrogate"],
])("%j is no path: %s", (path, why) => {
  expect(() => demandPath(path)).toThrow(expect.objectContaining({ code: "INVALID_INPUT" }));
  expect(() => demandPath(path)).toThrow(why);
});

test.each(["a", "a/b.ts", ".gitignore", "...", "a b/ü.md", "-rf", "x".repeat(255)])(
  "%j is a path",
  (path) => {
    expect(demandPath(path)).toBe(path);
  },
);

test("two ways to write the same letter are one path", () => {
  expect(demandPath("u\u0308.md")).toBe("\u00FC.md");
});

test("paths that differ in case only fold to the same", () => {
  expect(foldPath("Straße/A.ts")).toBe(foldPath("STRASSE/a.TS"));
  expect(foldPath("a.ts")).not.toBe(foldPath("b.ts"));
});

test.each([
  ["a.ts", "*.ts", true],
  ["src/a.ts", "*.ts", true],
  ["src/a.ts", "src/*", true],
  ["src/x/a.ts", "src/*", false],
  ["src/x/y/a.ts", "src/**", true],
  ["src/x/y/a.ts", "src/**/a.ts", true],
  ["src/a.ts", "src/**/a.ts", true],
  ["a.ts", "**", true],
  ["a.tsx", "*.ts", false],
  ["ab", "a?", true],
  ["a", "a?", false],
  ["a.b.c", "*.c", true],
  ["a", "", false],
])("%s matches %s: %s", (path, glob, matches) => {
  expect(matchesGlob(path, glob)).toBe(matches);
});

test("a glob made to be slow is not", () => {
  expect(matchesGlob("a".repeat(1_000), `${"*a".repeat(200)}b`)).toBe(false);
  expect(matchesGlob("a/".repeat(400) + "a", `${"**/a/".repeat(100)}b`)).toBe(false);
});
