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
    else if (error instanceof Failure || isOfFiles(error)) {
      say(error.message);
      process.exitCode = 1;
    } else throw error;
  }
}

/** A folder that is not ours to write, a full disk, a program that is not there: the system's words say it all. */
function isOfFiles(error) {
  return error instanceof Error && "syscall" in error;
}
