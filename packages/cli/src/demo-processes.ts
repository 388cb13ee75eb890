import { fileURLToPath } from "node:url";
import { Role, TradingError } from "@plexus/trading";
import { type ProcessEvent, Supervisor } from "./supervisor.ts";

/** The running agent processes. Disposing lets each leave the mesh in order. */
export interface DemoProcesses extends AsyncDisposable {
  /** Rejects with `PROCESS_DIED` when one ends before its time: a run whose state is gone cannot be mended. */
  readonly died: Promise<never>;
}

const LEAVE_MS = 5_000;
const LAST_LINES = 20;

/** Starts one process for every replica of every role, all at once. */
export function startProcesses(
  replicas: Readonly<Record<Role, number>>,
  env: Readonly<Record<string, string>>,
): DemoProcesses {
  const script = fileURLToPath(import.meta.resolve("@plexus/trading/run"));
  const { promise: died, reject } = Promise.withResolvers<never>();
  died.catch(() => undefined); // heard only while a run goes on
  const words = new Map<string, string[]>();

  function onEvent(event: ProcessEvent): void {
    if (event.event === "line") {
      const lines = words.get(event.process) ?? [];
      words.set(event.process, [...lines, event.line].slice(-LAST_LINES));
    } else if (event.event === "crashed" || event.event === "ended") {
      const how =
        event.event === "ended" ? "exit code 0" : (event.signal ?? `exit code ${event.code}`);
      const last = (words.get(event.process) ?? []).join("\n");
      const text = `${event.process} ended with ${how} before the run did`;
      reject(new TradingError("PROCESS_DIED", last === "" ? text : `${text}:\n${last}`));
    }
  }

  const supervisor = new Supervisor({ onEvent, stopTimeoutMs: LEAVE_MS });
  for (const role of Role.options) {
    for (let index = 0; index < replicas[role]; index += 1) {
      supervisor.start({
        name: `${role}-${index}`,
        script,
        args: [role, "--index", String(index), "--of", String(replicas[role])],
        env,
        execArgv: process.execArgv,
      });
    }
  }
  return { died, [Symbol.asyncDispose]: () => supervisor[Symbol.asyncDispose]() };
}
