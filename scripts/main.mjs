import { Interrupted } from "./child.mjs";
import { Failure, say } from "./say.mjs";

/** Runs `work` as this process's purpose: its result is the exit code, and an expected failure one readable message. */
export async function main(work) {
  // Under npm, end when npm does. Without, whoever started this may be gone on purpose (nohup, disown).
  if (process.env.npm_lifecycle_event !== undefined) await import("./die-with-parent.mjs");
  try {
    process.exitCode = await work();
  } catch (error) {
    if (error instanceof Interrupted) process.exitCode = error.code;
    else if (error instanceof Failure) {
      say(error.message);
      process.exitCode = 1;
    } else throw error;
  }
}
