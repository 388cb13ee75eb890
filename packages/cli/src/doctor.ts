import type { Command } from "commander";
import { machineChecks } from "./doctor-machine.ts";
import { brokerChecks } from "./doctor-broker.ts";
import { EXIT } from "./exit-codes.ts";
import { interruptible } from "./interrupt.ts";
import { meshCommand, type MeshOptions } from "./mesh-options.ts";
import { paint, print, printJson } from "./output.ts";

/** One thing that `plexus doctor` looked at. */
export interface Check {
  readonly check: string;
  /** `unknown`: it cannot be found out from here, and is not judged. */
  readonly status: "ok" | "warn" | "fail" | "unknown";
  readonly detail: string;
  readonly remedy?: string;
}

export interface DoctorOptions extends MeshOptions {
  readonly monitor?: string;
}

/** What the examination of the broker came to: its checks, and whether there was one. */
export interface BrokerChecks {
  readonly reachable: boolean;
  readonly checks: readonly Check[];
}

/** `plexus doctor` */
export function doctorCommand(): Command {
  return meshCommand("doctor", "check this machine and the broker, and say what to do")
    .option("--monitor <url>", "the broker's monitoring endpoint (default: port 8222 of its host)")
    .addHelpText("after", "\nExits 1 when a check fails, 4 when no broker answers.")
    .action(async (options: DoctorOptions) => {
      const exitCode = await interruptible(() => doctor(options));
      if (exitCode !== EXIT.ok) process.exitCode = exitCode;
    });
}

async function doctor(options: DoctorOptions): Promise<number> {
  const [machine, broker] = await Promise.all([machineChecks(), brokerChecks(options)]);
  const checks = [...machine, ...broker.checks];
  const failed = checks.filter(({ status }) => status === "fail").length;
  if (options.json) printJson({ ok: failed === 0, checks });
  else show(checks);
  if (!broker.reachable) return EXIT.unavailable;
  return failed === 0 ? EXIT.ok : EXIT.failed;
}

const MARKS = {
  ok: ["green", "ok  "],
  warn: ["yellow", "warn"],
  fail: ["red", "FAIL"],
  unknown: ["dim", "?   "],
} as const;

function show(checks: readonly Check[]): void {
  const width = Math.max(...checks.map(({ check }) => check.length));
  for (const { check, status, detail, remedy } of checks) {
    const [color, mark] = MARKS[status];
    print(`${paint(color, mark)}  ${check.padEnd(width)}  ${detail}`);
    if (remedy !== undefined) print(`      ${" ".repeat(width)}  → ${remedy}`);
  }
}
