import { execFile } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Check } from "./doctor.ts";

const FEW_FILES = 4_096;
const FEW_PROCESSES = 1_024;

/** Node, the build, and the limits of this machine. */
export async function machineChecks(): Promise<Check[]> {
  return [nodeCheck(), buildCheck(), ...(await limitChecks())];
}

function nodeCheck(): Check {
  const version = process.versions.node;
  const [major = 0] = version.split(".").map(Number); // main.ts has refused what is too old
  return major % 2 === 0
    ? { check: "Node.js", status: "ok", detail: `${version} (22.22 or newer is needed)` }
    : {
        check: "Node.js",
        status: "warn",
        detail: `${version} is no long-term release`,
        remedy: "Run agents on Node.js 24.",
      };
}

/** A build that is older than its sources runs yesterday's code. */
function buildCheck(): Check {
  const here = fileURLToPath(import.meta.url);
  if (here.endsWith(".ts"))
    return { check: "build", status: "ok", detail: "runs from its sources" };
  const packages = fileURLToPath(new URL("../..", import.meta.url));
  const stale = readdirSync(packages).filter((name) => {
    const built = newest(join(packages, name, "dist"), ".js");
    return built > 0 && newest(join(packages, name, "src"), ".ts") > built;
  });
  return stale.length === 0
    ? { check: "build", status: "ok", detail: "up to date" }
    : {
        check: "build",
        status: "warn",
        detail: `older than its sources: ${stale.join(", ")}`,
        remedy: "npm run build",
      };
}

/** Modification time of the newest file with this ending, tests left out; 0 when there is none. */
function newest(folder: string, ending: string): number {
  try {
    return Math.max(
      0,
      ...readdirSync(folder, { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith(ending) && !name.includes(".test."))
        .map((name) => statSync(join(folder, name)).mtimeMs),
    );
  } catch {
    return 0; // installed from npm: there are no sources
  }
}

/** What the shell says of a limit; NaN when it does not. dash calls -p what others call -u. */
async function ulimit(flags: string): Promise<number> {
  try {
    const { stdout } = await promisify(execFile)("/bin/sh", ["-c", `ulimit ${flags}`]);
    return stdout.trim() === "unlimited" ? Infinity : Number(stdout.trim());
  } catch {
    return Number.NaN;
  }
}

/** An agent process holds few files, a broker one per connection; a host of many agents needs room for both. */
async function limitChecks(): Promise<Check[]> {
  const [files, processes] = await Promise.all([ulimit("-n"), ulimit("-u || ulimit -p")]);
  return [
    judge("open files", files, FEW_FILES, "ulimit -n 65536 (or LimitNOFILE= of the service)"),
    judge("processes", processes, FEW_PROCESSES, "ulimit -u 4096 (or TasksMax= of the service)"),
  ];
}

function judge(check: string, limit: number, few: number, remedy: string): Check {
  if (Number.isNaN(limit))
    return { check, status: "unknown", detail: "the shell does not tell the limit" };
  const detail = limit === Infinity ? "no limit" : `at most ${limit} per process or user`;
  return limit < few ? { check, status: "warn", detail, remedy } : { check, status: "ok", detail };
}
