import { fileURLToPath } from "node:url";
import { Role, TradingError } from "@plexus/trading";
import { type ProcessEvent, type ProcessSpec, Supervisor } from "./supervisor.ts";

/** The running agent processes, each started again when it crashes. Disposing lets each leave the mesh in order. */
export interface DemoProcesses extends AsyncDisposable {
  /** Rejects with `PROCESS_DIED` when starting one again does not help. */
  readonly died: Promise<never>;
  /** Kills one with SIGKILL, if its pid is still this one. */
  kill(name: string, pid: number): boolean;
}

const LEAVE_MS = 5_000;
const LAST_LINES = 20;
/** Crashes of one process in a row, ours not counted, before it is given up. */
const MAX_CRASHES = 5;
const BACKOFF = { firstMs: 100, maxMs: 1_000, factor: 2 };

/** Starts one process for every replica of every role of the trading mesh, all at once. */
export function startSeats(
  replicas: Readonly<Record<Role, number>>,
  env: Readonly<Record<string, string>>,
): DemoProcesses {
  const script = fileURLToPath(import.meta.resolve("@plexus/trading/run"));
  const specs = Role.options.flatMap((role) =>
    Array.from({ length: replicas[role] }, (_, index) => ({
      name: `${role}-${index}`,
      script,
      args: [role, "--index", String(index), "--of", String(replicas[role])],
      env,
    })),
  );
  return startProcesses(specs, (text) => new TradingError("PROCESS_DIED", text));
}

/** Starts processes and keeps them running; `failure` makes the error of one that cannot be kept. */
export function startProcesses(
  specs: readonly ProcessSpec[],
  failure: (text: string) => Error,
): DemoProcesses {
  const { promise: died, reject } = Promise.withResolvers<never>();
  died.catch(() => undefined); // heard only while a run goes on
  const words = new Map<string, string[]>();
  const killed = new Set<string>();
  const pids = new Map<string, number>();

  function gone(name: string, how: string): void {
    const last = (words.get(name) ?? []).join("\n");
    const text = `${name} ended with ${how} before the run did`;
    reject(failure(last === "" ? text : `${text}:\n${last}`));
  }

  function onEvent(event: ProcessEvent): void {
    const { process } = event;
    if (event.event === "started") pids.set(process, event.pid);
    else if (event.event === "line") {
      words.set(process, [...(words.get(process) ?? []), event.line].slice(-LAST_LINES));
    } else if (event.event === "ended") gone(process, "exit code 0");
    else if (event.event === "restarting") {
      const ours = killed.delete(process);
      if (!ours && event.attempt > MAX_CRASHES) gone(process, `its crash number ${event.attempt}`);
    }
  }

  const supervisor = new Supervisor({ onEvent, stopTimeoutMs: LEAVE_MS, backoff: BACKOFF });
  for (const spec of specs) supervisor.start({ execArgv: process.execArgv, ...spec });
  return {
    died,
    kill(name, pid) {
      if (pids.get(name) !== pid || !supervisor.kill(name)) return false;
      killed.add(name);
      return true;
    },
    [Symbol.asyncDispose]: () => supervisor[Symbol.asyncDispose](),
  };
}
