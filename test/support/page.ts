import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { spawnNode, startBroker, type Broker } from "@plexus/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { meshName } from "./mesh.ts";

const root = join(import.meta.dirname, "..", "..");
const run = promisify(execFile);

/**
 * Tests a page of documentation: each of its programs is followed by what it prints, compiles, and prints that when it is executed,
 * with a broker and a mesh of its own.
 *
 * @param path of the page, from the root of the repository
 * @param atLeast programs that it is known to have
 */
export function testPage(path: string, atLeast: number): void {
  const page = readFileSync(join(root, path), "utf8");
  /** Each program of the page, named by the heading before it, and what it prints. */
  const programs = [...page.matchAll(/```ts\n([\s\S]*?)```\n\n```text\n([\s\S]*?)```/g)].map(
    ({ 1: text = "", 2: output = "", index }) => {
      const heading = [...page.slice(0, index).matchAll(/^## (.+)$/gm)].at(-1)![1]!;
      return { name: heading.toLowerCase().replaceAll(/\W+/g, "-"), text, output };
    },
  );
  let folder: string;
  let broker: Broker;

  beforeAll(async () => {
    broker = await startBroker();
    folder = mkdtempSync(join(root, "test", ".page-"));
    for (const { name, text } of programs) writeFileSync(join(folder, `${name}.ts`), text);
    const compilerOptions = {
      composite: false,
      declarationMap: false,
      noEmit: true,
      noUnusedLocals: false, // what is opened to be disposed at the end
      allowImportingTsExtensions: true,
    };
    const config = { extends: "../../tsconfig.base.json", compilerOptions, include: ["*.ts"] };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  });

  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true });
    await broker[Symbol.asyncDispose]();
  });

  test("each section of the page that shows a program shows what it prints", () => {
    expect(programs.length).toBeGreaterThanOrEqual(atLeast);
    expect(page.match(/```ts\n/g)).toHaveLength(programs.length);
    expect(new Set(programs.map(({ name }) => name)).size).toBe(programs.length);
  });

  test("the programs of the page compile", { timeout: 120_000 }, async () => {
    const tsc = join(root, "node_modules", ".bin", "tsc");
    const { stdout } = await run(tsc, ["-p", folder]).catch((error: { stdout: string }) => error);
    expect(stdout).toBe("");
  });

  test.each(programs)(
    "the program of section $name prints what the page says",
    { timeout: 120_000 },
    async ({ name, output }) => {
      const env = {
        PLEXUS_SERVERS: broker.url,
        PLEXUS_MESH: meshName(),
        PLEXUS_HTTP_PORT: undefined,
      };
      await using program = spawnNode(join(folder, `${name}.ts`), { env });
      const printed: string[] = [];
      for await (const line of program.lines()) printed.push(`${line}\n`);
      const { code } = await program.exited;
      expect({ code, stderr: program.stderr() }).toEqual({ code: 0, stderr: "" });
      expect(printed.join("")).toBe(output);
    },
  );
}
