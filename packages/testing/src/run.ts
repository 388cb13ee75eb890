import { execFile } from "node:child_process";
import { promisify } from "node:util";

/**
 * Runs a program to its end.
 * @returns its stdout
 * @throws Error with the end of its stderr, or that says that it is not installed
 */
export async function run(
  program: string,
  args: string[],
  options: { timeoutMs: number; env?: NodeJS.ProcessEnv; cwd?: string },
): Promise<string> {
  try {
    const { timeoutMs: timeout, ...rest } = options;
    const limits = { timeout, maxBuffer: 16 * 1024 * 1024 };
    return (await promisify(execFile)(program, args, { ...rest, ...limits })).stdout;
  } catch (error) {
    const { code, killed, stderr, message } = error as NodeJS.ErrnoException & {
      killed?: boolean;
      stderr?: string;
    };
    let reason = stderr?.trim().split("\n").slice(-3).join(" ") || message.trim();
    if (code === "ENOENT") reason = "not installed";
    if (killed) reason = `took longer than ${options.timeoutMs} ms`;
    throw new Error(`${program}: ${reason}`, { cause: error });
  }
}
