import type { Workspace } from "@plexus/mesh";
import type { NodeProcess } from "@plexus/testing";
import { expect, test } from "vitest";
import { faultsOf, readJournal } from "../support/journal.ts";
import { inTurn, upTo, useMeshes } from "../support/mesh.ts";
import { startAgent } from "../support/workers.ts";

const meshes = useMeshes();

/** Appends a line to a file, however often that takes. */
function append(repo: Workspace, path: string, line: string) {
  return repo.transact({ message: line, id: line, attempts: 100 }, async (context) => {
    const before = await context.find(path);
    context.write(path, `${before?.text ?? ""}${line}\n`);
  });
}

test("edits outlive the death of the owner and of the broker: every accepted one is there, in its order", async () => {
  const mesh = await meshes.join();
  const owners = upTo(2).map(() => startAgent(meshes, "librarian"));
  await Promise.all(owners.map((owner) => owner.waitForLine("ready", 60_000)));
  const repos = upTo(4).map((n) => mesh.workspace("shop", { agent: `agent-${n}` }));
  const accepted: { line: string; version: number }[] = [];
  const working = Promise.all(
    repos.map(({ agent }, n) =>
      inTurn(upTo(25), async (i) => {
        const line = `${agent}.${i}`;
        const { version } = await append(repos[n]!, `file-${i % 3}`, line);
        accepted.push({ line, version });
      }),
    ),
  );
  await expect.poll(() => accepted.length, { timeout: 60_000 }).toBeGreaterThan(20);
  await owners[0]!.kill();
  await expect.poll(() => accepted.length, { timeout: 60_000 }).toBeGreaterThan(50);
  await meshes.broker.restart({ signal: "SIGKILL", downMs: 500 });
  await working;
  const lines = (await Promise.all(upTo(3).map((n) => repos[0]!.read(`file-${n}`)))).flatMap(
    ({ text }) => text.trimEnd().split("\n"),
  );
  expect(lines.toSorted()).toEqual(accepted.map(({ line }) => line).toSorted());
  const log = await repos[0]!.log({ limit: 1_000 });
  expect(new Map(log.map(({ version, message }) => [version, message]))).toEqual(
    new Map(accepted.map(({ version, line }) => [version, line])),
  );
  expect(await repos[0]!.head()).toBe(accepted.length);
  expect(faultsOf(await readJournal(await meshes.nats(), meshes.name))).toEqual([]);
  await owners[1]!.kill();
}, 180_000);

test("a conflict that waits for a person outlives who waits for it, its owner and the broker", async () => {
  const mesh = await meshes.join();
  const start = async (script: string, line: string, ...args: string[]): Promise<NodeProcess> => {
    const process = startAgent(meshes, script, args);
    await process.waitForLine(line, 60_000);
    return process;
  };
  await using first = await start("librarian", "ready");
  const repo = mesh.workspace("shop", { agent: "ada" });
  await repo.write("plan.md", "base\n");
  await repo.write("plan.md", "ada's\n");
  await using waiter = await start("waiter", "waits", "plan.md", "1", "bob's\n");
  const [open] = await repo.conflicts();
  await Promise.all([waiter.kill(), first.kill()]);
  await meshes.broker.restart({ signal: "SIGKILL" });
  await using second = await start("librarian", "ready");
  expect(second.stderr()).toBe("");
  const [found] = await repo.conflicts();
  expect(found).toEqual(open);
  const settled = mesh.workspace("shop", { agent: "waiter" }).settled(found!.id);
  expect(await repo.resolve(found!, "ours")).toBe("committed");
  expect(await settled).toMatchObject({ commit: found!.commit, version: 3 });
  expect((await repo.read("plan.md")).text).toBe("bob's\n");
  // Who begins the same commit anew is answered what became of it.
  await using again = startAgent(meshes, "waiter", ["plan.md", "1", "bob's\n"]);
  expect(await again.waitForLine("committed", 60_000)).toBe("committed 3");
}, 120_000);
