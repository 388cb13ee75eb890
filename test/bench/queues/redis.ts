import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { now, sleep } from "../clock.ts";

/** A Redis of its own for one sample, which writes what it takes to its append-only file every second. */
export interface Redis extends AsyncDisposable {
  readonly socket: string;
}

const READY_MS = 5_000;

/** Undefined: there is no `redis-server` on this machine. */
export async function startRedis(): Promise<Redis | undefined> {
  if (spawnSync("redis-server", ["--version"]).status !== 0) return undefined;
  const directory = await mkdtemp(join(tmpdir(), "plexus-bench-redis-"));
  const socket = join(directory, "socket");
  const settings = ["--port", "0", "--unixsocket", socket, "--dir", directory, "--save", ""];
  const durable = ["--appendonly", "yes", "--appendfsync", "everysec"];
  const child = spawn("redis-server", [...settings, ...durable], { stdio: "ignore" });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const end = now() + READY_MS;
  while (!(await answers(socket)) && now() < end) await sleep(20);
  return {
    socket,
    async [Symbol.asyncDispose]() {
      child.kill();
      await exited;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
