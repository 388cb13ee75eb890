import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { watchFolder } from "./watch-folder.ts";

let folder: string;
let seen: string[][];
let stop: () => void;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "plexus-watch-"));
  mkdirSync(join(folder, "deep", "er"), { recursive: true });
  mkdirSync(join(folder, "node_modules"));
  seen = [];
  stop = watchFolder(folder, (files) =>
    seen.push(files.map((file) => file.slice(folder.length + 1))),
  );
});

afterEach(() => {
  stop();
  rmSync(folder, { recursive: true, force: true });
});

function write(name: string): void {
  writeFileSync(join(folder, name), String(Math.random()));
}

test("a burst of changes is told once", async () => {
  write("a.ts");
  write("a.ts");
  write("deep/er/b.ts");
  await vi.waitFor(() => expect(seen).toEqual([["a.ts", "deep/er/b.ts"]]), 3_000);
});

test("folders that are made later are watched too", async () => {
  mkdirSync(join(folder, "new"));
  await sleep(100);
  write("new/c.ts");
  await vi.waitFor(() => expect(seen.flat()).toContain("new/c.ts"), 3_000);
});

test("dependencies and what is no source are left out", async () => {
  write("node_modules/x.js");
  write("notes.txt");
  write(".hidden.ts");
  await sleep(400);
  expect(seen).toEqual([]);
});

test("a folder that goes away does no harm", async () => {
  rmSync(join(folder, "deep"), { recursive: true });
  write("a.ts");
  await vi.waitFor(() => expect(seen.flat()).toContain("a.ts"), 3_000);
});

test("a folder that goes away and comes back is watched again, with what is in it", async () => {
  rmSync(join(folder, "deep"), { recursive: true });
  await sleep(300);
  mkdirSync(join(folder, "deep", "er"), { recursive: true });
  write("deep/er/b.ts");
  await vi.waitFor(() => expect(seen.flat()).toContain("deep/er/b.ts"), 3_000);
  await sleep(300);
  seen.length = 0;
  write("deep/er/b.ts");
  await vi.waitFor(() => expect(seen.flat()).toContain("deep/er/b.ts"), 3_000);
});
