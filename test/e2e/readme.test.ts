import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { spawnNode, startBroker } from "@plexus/testing";
import { afterAll, beforeAll, expect, it } from "vitest";

const root = join(import.meta.dirname, "..", "..");
const run = promisify(execFile);
let folder: string;

/** Writes the READMEs' TypeScript blocks, each named by its first line's comment, into a folder of the repository. */
beforeAll(() => {
  folder = mkdtempSync(join(root, "test", ".readme-"));
  for (const readme of ["README.md", "packages/workflow/README.md"]) {
    const blocks = readFileSync(join(root, readme), "utf8").matchAll(
      /```ts\n\/\/ ([\w-]+\.ts)(?:: .*)?\n([\s\S]*?)```/g,
    );
    for (const [, name, text] of blocks) writeFileSync(join(folder, name!), text!);
  }
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      extends: "../../tsconfig.base.json",
      compilerOptions: {
        composite: false,
        declarationMap: false,
        noEmit: true,
        allowImportingTsExtensions: true,
      },
      include: ["*.ts"],
    }),
  );
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("the READMEs' examples compile", async () => {
  const tsc = join(root, "node_modules", ".bin", "tsc");
  const { stdout } = await run(tsc, ["-p", folder]).catch((error: { stdout: string }) => error);
  expect(stdout).toBe("");
});

it("the README's example runs as it says", async () => {
  await using broker = await startBroker();
  const options = { env: { PLEXUS_SERVERS: broker.url } };
  await using host = spawnNode(join(folder, "host.ts"), options);
  await host.waitForLine(/^hosting desk-/);
  await using ask = spawnNode(join(folder, "ask.ts"), options);
  await ask.waitForLine(/^change 0\.04$/);
  await ask.waitForLine(/^SPX 100 SPX 101 SPX 104 $/);
  expect((await ask.exited).code).toBe(0);
});

it("the workflow's example runs as it says", async () => {
  await using review = spawnNode(join(folder, "review.ts"));
  await review.waitForLine(/^Publish 3 notes\?$/);
  await review.waitForLine(/^2 topics, about cats, about dogs$/);
  expect((await review.exited).code).toBe(0);
});

it("the workflow's example on a mesh runs as it says", async () => {
  await using broker = await startBroker();
  const options = { env: { PLEXUS_SERVERS: broker.url } };
  await using host = spawnNode(join(folder, "report-host.ts"), options);
  await host.waitForLine(/^hosting report$/);
  await using ask = spawnNode(join(folder, "report-ask.ts"), options);
  await ask.waitForLine(/^Publish 2 notes\?$/);
  await ask.waitForLine(/^about cats, about dogs yes$/);
  expect((await ask.exited).code).toBe(0);
});

it("the workflow's example of a LangGraph.js graph runs as it says", async () => {
  await using broker = await startBroker();
  const options = { env: { PLEXUS_SERVERS: broker.url } };
  await using host = spawnNode(join(folder, "writer-host.ts"), options);
  await host.waitForLine(/^writing as writers-/);
  await using write = spawnNode(join(folder, "write.ts"), options);
  await write.waitForLine(/^Publish "All about cats"\?$/);
  await write.waitForLine(/^All about cats$/);
  expect((await write.exited).code).toBe(0);
});
