import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type NodeProcess, spawnNode } from "./spawn-node.ts";

/*
 * A parent process in a temporary directory of its own starts one of everything; then it ends in different ways. All that
 * it starts carries that directory in its command line.
 */
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "plexus-test-"));
});
afterEach(() => rm(directory, { recursive: true }));

async function startParent(body: string): Promise<NodeProcess> {
  const script = join(directory, "parent.ts");
  const child = join(directory, "child.mjs");
  const kit = new URL("./index.ts", import.meta.url).href;
  await writeFile(child, `setInterval(() => {}, 1_000);`);
  await writeFile(
    script,
    `import { mkdirSync } from "node:fs";
     import { startBroker, startCluster, spawnNode } from ${JSON.stringify(kit)};
     mkdirSync(process.env.TMPDIR);
     const broker = await startBroker();
     const down = await startBroker();
     await down.kill();
     const frozen = await startBroker();
     await frozen.pause();
     const cluster = await startCluster();
     const child = spawnNode(${JSON.stringify(child)});
     console.log("started", broker.pid);
     ${body}`,
  );
  return spawnNode(script, { env: { TMPDIR: join(directory, "tmp") } });
}

/** Command lines of running processes that name the directory. A zombie has none. */
function running(): string[] {
  const lines = execFileSync("ps", ["-eo", "stat=,args="], { encoding: "utf8" }).split("\n");
  return lines.filter((line) => line.includes(directory) && !line.startsWith("Z"));
}

const files = () => readdir(join(directory, "tmp"));

test("a parent that is SIGKILLed leaves no broker, no child, no guard and no file for a second", async () => {
  const parent = await startParent(`await new Promise(() => {});`);
  await parent.waitForLine("started");
  expect(running().filter((line) => line.includes("ports_file_dir")).length).toBeGreaterThanOrEqual(
    5,
  );
  expect(await files()).toHaveLength(6);
  await parent.kill("SIGKILL");
  await expect.poll(running, { timeout: 1_000 }).toEqual([]);
  await expect.poll(files, { timeout: 1_000 }).toEqual([]);
});

test("a parent that exits without disposing leaves nothing", async () => {
  const parent = await startParent(`process.exit(3);`);
  expect(await parent.exited).toEqual({ code: 3, signal: null });
  await expect.poll(running, { timeout: 1_000 }).toEqual([]);
  await expect.poll(files, { timeout: 1_000 }).toEqual([]);
});

test("a parent that disposes what it opened ends by itself and leaves nothing", async () => {
  const parent = await startParent(
    `for (const opened of [broker, down, frozen, cluster, child]) await opened[Symbol.asyncDispose]();`,
  );
  expect(await parent.exited).toEqual({ code: 0, signal: null });
  expect(await files()).toEqual([]);
  await expect.poll(running, { timeout: 1_000 }).toEqual([]);
});

test(
  "a process whose proxy is cut while a connection is ending can end",
  { timeout: 60_000 },
  async () => {
    const script = join(directory, "cutter.ts");
    const kit = new URL("./index.ts", import.meta.url).href;
    await writeFile(
      script,
      `import { once } from "node:events";
     import { connect, createServer } from "node:net";
     import { setTimeout as sleep } from "node:timers/promises";
     import { startProxy } from ${JSON.stringify(kit)};
     const target = createServer((socket) => socket.on("error", () => {})).listen(0);
     await once(target, "listening");
     const proxy = await startProxy({ target: "127.0.0.1:" + target.address().port });
     const client = connect({ port: proxy.port, allowHalfOpen: true }).on("error", () => {});
     await once(client, "connect");
     await sleep(100);
     proxy.hold();
     client.end("the last words");
     await sleep(100);
     await Promise.all([proxy.heal(), proxy.cut()]); // what was held is sent and, at once, cut off
     client.destroy();
     target.close();
     console.log("done");`,
    );
    await using process = spawnNode(script);
    await process.waitForLine("done", 30_000);
    expect((await process.exited).code).toBe(0);
  },
);
