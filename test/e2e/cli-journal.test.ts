import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { journal, type MeshError } from "@plexus/core";
import { checkArchive, type Mesh } from "@plexus/mesh";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { plexus, type CliResult } from "../support/cli.ts";
import { upTo, useMeshes } from "../support/mesh.ts";

const Things = journal("things", { events: { made: z.any(), gone: z.void() } });

vi.setConfig({ testTimeout: 120_000 }); // each starts several processes, and the machine may be busy

const meshes = useMeshes();
let mesh: Mesh;
let folder: string;

const run = (...args: string[]): Promise<CliResult> =>
  plexus(["journal", ...args], {
    env: { PLEXUS_SERVERS: meshes.broker.url, PLEXUS_MESH: meshes.name },
  });

const file = (name: string): string => join(folder, name);

async function* toStream(lines: readonly string[]): AsyncGenerator<string> {
  yield* lines;
}

async function events(of: string): Promise<object[]> {
  const found: object[] = [];
  const contract = { ...Things, name: of };
  for await (const { sequence: _, ...event } of mesh.journal(contract).read()) found.push(event);
  return found;
}

const made = (data: unknown) => ({ type: "made", data }) as const;

async function fill(): Promise<void> {
  const things = mesh.journal(Things);
  const values = [
    new Uint8Array([0, 255]),
    new Date(7),
    2n ** 90n,
    new Map([[1, -0]]),
    { $date: 1 },
  ];
  await things.append("A", values.map(made), { id: "values" });
  await things.append("A", { type: "gone", data: undefined });
  await Promise.all(upTo(300).map((n) => things.append(`key ${n % 7}`, made(n))));
}

beforeEach(async () => {
  mesh = await meshes.join();
  folder = await mkdtemp(join(tmpdir(), "plexus-journal-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("plexus journal", () => {
  it("lists the journals", async () => {
    expect((await run("ls")).stdout).toBe(`No journals in mesh ${meshes.name}.\n`);
    await fill();
    const { code, stdout } = await run("ls");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^JOURNAL +RECORDS +KEYS +SEQUENCES +BYTES +NEWEST$/m);
    expect(stdout).toMatch(/^things +302 +8 +1-302 +\d+ +\d+s ago$/m);
    expect(JSON.parse((await run("ls", "--json")).stdout)).toMatchObject([
      { journal: "things", records: 302 },
    ]);
  });

  it("exports, checks, and imports what it has exported, whatever the events carry", async () => {
    await fill();
    expect(await run("export", "things", "--out", file("a"))).toMatchObject({
      code: 0,
      stdout: "",
    });
    const lines = (await readFile(file("a"), "utf8")).trimEnd().split("\n");
    expect(lines).toHaveLength(307);
    expect(JSON.parse(lines.at(-1)!)).toMatchObject({
      end: { journal: "things", events: 306, records: 302, first: 1, last: 302 },
    });
    expect((await run("export", "things")).stdout).toBe(await readFile(file("a"), "utf8"));
    const sound = await run("verify", "--file", file("a"), "--json");
    expect(sound.code).toBe(0);
    expect(JSON.parse((await run("verify", "things", "--json")).stdout)).toEqual(
      JSON.parse(sound.stdout),
    );
    expect((await run("import", "copy", file("a"))).stdout).toBe(
      "Journal copy: 306 of 306 events were new.\n",
    );
    expect(await events("copy")).toEqual(await events("things"));
    expect((await run("import", "copy", file("a"))).stdout).toBe(
      "Journal copy: 0 of 306 events were new.\n",
    );
    expect(await events("copy")).toHaveLength(306);
  });

  it("goes on with an import that was broken off, and with an archive that has grown", async () => {
    await fill();
    await run("export", "things", "--out", file("a"));
    await run("import", "copy", file("a"));
    await mesh.journal(Things).append("B", { type: "made", data: "later" });
    await run("export", "things", "--out", file("b"));
    expect((await run("import", "copy", file("b"))).stdout).toBe(
      "Journal copy: 1 of 307 events were new.\n",
    );
    expect(await events("copy")).toEqual(await events("things"));
    const shorter = await run("import", "copy", file("a"));
    expect(shorter.code).toBe(1);
    expect(shorter.stderr).toMatch(/CONFLICT: .*something else than the beginning of this archive/);
  });

  it("refuses what does not belong together, and what is damaged", async () => {
    await fill();
    await run("export", "things", "--out", file("a"));
    await mesh.journal({ ...Things, name: "other" }).append("A", { type: "made", data: 1 });
    const foreign = await run("import", "other", file("a"));
    expect(foreign.code).toBe(1);
    expect(foreign.stderr).toMatch(/CONFLICT: .*events that were not imported/);
    const lines = (await readFile(file("a"), "utf8")).trimEnd().split("\n");
    const damaged = async (change: (lines: string[]) => void): Promise<string> => {
      const copy = [...lines];
      change(copy);
      const damage = await checkArchive(toStream(copy)).catch((error: Error) => error);
      return `${(damage as MeshError).code}: ${(damage as MeshError).message}`;
    };
    expect(await damaged((copy) => copy.pop())).toMatch(/BAD_MESSAGE: .*not whole/);
    expect(await damaged((copy) => copy.splice(100, 1))).toMatch(
      /its end says events 306, but it is 305/,
    );
    expect(await damaged((copy) => copy.splice(0, copy.length, ...copy.toReversed()))).toMatch(
      /Line \d+ of the archive/,
    );
    expect(await damaged((copy) => copy.splice(2, 1))).toMatch(/does not follow the one before/);
    expect(
      await damaged((copy) => (copy[9] = copy[9]!.replace(/"data":\d+/, '"data":777'))),
    ).toMatch(/end says chain/);
    expect(await damaged((copy) => (copy[0] = copy[0]!.replace("$bytes", "$what")))).toMatch(
      /Line 1 .*data cannot be read/,
    );
    await writeFile(file("b"), lines.slice(0, -1).join("\n"));
    expect(await run("verify", "--file", file("b"))).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/BAD_MESSAGE: .*not whole/) as string,
    });
    expect((await run("import", "none", file("b"))).code).toBe(1);
    expect((await run("verify", "none")).code).toBe(3);
  });

  it("leaves nothing behind where it cannot write, and reads no folder", async () => {
    await fill();
    await mkdir(file("folder"));
    for (const path of [file("nowhere/a"), file("folder")]) {
      const { code, stderr } = await run("export", "things", "--out", path);
      expect({ code, stderr }).toMatchObject({
        code: 2,
        stderr: expect.stringMatching(/^plexus journal export: USAGE: --out .*\n$/) as string,
      });
    }
    expect(await readdir(folder)).toEqual(["folder"]);
    for (const args of [
      ["verify", "--file", folder],
      ["import", "copy", folder],
    ]) {
      const { code, stderr } = await run(...args);
      expect(code).toBe(2);
      expect(stderr).toMatch(/^plexus journal \w+: USAGE: The file .* cannot be read: .*\n$/);
    }
  });

  it("exits 3 for what is not there, 2 for what makes no sense", async () => {
    const missing = await run("export", "nothing");
    expect(missing.code).toBe(3);
    expect(missing.stderr).toMatch(/NO_JOURNAL: .*nothing.*`plexus journal ls`/);
    expect((await run("verify")).code).toBe(2);
    expect((await run("import", "x", file("missing"))).code).toBe(2);
    expect((await run()).code).toBe(2);
  });
});
