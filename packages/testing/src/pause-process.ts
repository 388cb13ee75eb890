import { readdir, readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { run } from "./run.ts";

const timeoutMs = 5_000;

/**
 * Waits until a process that was sent SIGSTOP stands still, or is gone. `kill` returns earlier: one thread must be scheduled
 * to receive the signal before it stops the others, and on a busy machine these go on working for milliseconds.
 * @throws Error when it still runs after 5 s
 */
export async function waitUntilStopped(pid: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const states = await threadStates(pid);
    if (states.every((state) => "TtZX".includes(state))) return;
    if (performance.now() > deadline) {
      throw new Error(`Process ${pid} still runs ${timeoutMs} ms after SIGSTOP`);
    }
    await sleep(1);
  }
}

/** One letter for each thread, as `ps` shows them (T is stopped, Z a zombie); none when the process is gone. */
async function threadStates(pid: number): Promise<string[]> {
  try {
    if (process.platform !== "linux") {
      return [
        (await run("ps", ["-o", "stat=", "-p", String(pid)], { timeoutMs })).trim().charAt(0),
      ];
    }
    const tasks = `/proc/${pid}/task`;
    const stats = (await readdir(tasks)).map((id) =>
      // a thread that ends meanwhile counts as one that is gone
      readFile(`${tasks}/${id}/stat`, "utf8").catch(() => ") X"),
    );
    // "pid (name) state …", where the name may hold anything
    return (await Promise.all(stats)).map((stat) => stat.charAt(stat.lastIndexOf(")") + 2));
  } catch {
    return [];
  }
}
