import { type ChildProcess, spawn, type StdioOptions } from "node:child_process";
import type { Writable } from "node:stream";

/*
 * A child must not outlive its parent, not even one that dies of SIGKILL and so can run no handler. Linux has
 * PR_SET_PDEATHSIG for that, but Node cannot set it and macOS lacks it. So the child starts as this `sh` script: a
 * subshell stays behind and reads fd 3, a pipe whose other end only the parent holds, while the script itself `exec`s the
 * program – which therefore has the very pid that Node knows. Words on the pipe:
 *   gone  the program has exited: its pid may be reused, never signal it again; keep guarding the directory
 *   done  nothing is left to guard
 * End of file without `done` means that the parent is dead: kill the program, then remove the directory.
 * The wait for the pid to vanish is bounded because a zombie may keep it for ever where PID 1 does not reap.
 */
const script = `
dir=$1; shift
(
  trap '' INT TERM HUP
  pid=$$
  while read -r word; do
    case $word in
      gone) pid= ;;
      done) exit 0 ;;
    esac
  done
  if [ -n "$pid" ]; then
    kill -9 "$pid"
    for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$pid" || break; sleep 0.02; done
  fi
  if [ -n "$dir" ]; then rm -rf -- "$dir"; fi
) <&3 >/dev/null 2>&1 &
exec "$@" 3<&-
`;

export type GuardOptions = {
  /** Directory that is removed if this process dies; `release()` leaves it alone. */
  directory?: string;
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  stdout: "pipe" | number;
  stderr: "pipe" | number;
};

/** How a process ended: with an exit code or by a signal. */
export type Exit = { code: number | null; signal: NodeJS.Signals | null };

export type Guarded = {
  child: ChildProcess;
  /** Settles when the program has exited, by itself or by signal. Never rejects. */
  exited: Promise<Exit>;
  /** Ends the watch over pid and directory. Call it once the program has exited. */
  release: () => void;
};

/**
 * Starts a program that dies with this process, however this process dies. It gets a session of its own, so Ctrl-C in a
 * terminal reaches only the parent, which decides in which order things stop.
 * @throws Error when no shell can be started (the embedded broker needs a POSIX system).
 */
export function spawnGuarded(command: string, args: string[], options: GuardOptions): Guarded {
  const stdio: StdioOptions = ["ignore", options.stdout, options.stderr, "pipe"];
  const child = spawn(
    "/bin/sh",
    ["-c", script, "guard", options.directory ?? "", command, ...args],
    {
      stdio,
      detached: true,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.env === undefined ? {} : { env: options.env }),
    },
  );
  const pipe = child.stdio[3] as (Writable & { unref(): void }) | undefined;
  pipe?.on("error", () => {}); // the guard is gone already: nothing left to tell it
  pipe?.unref();

  const exited = new Promise<Exit>((resolve) => {
    child.once("exit", (code, signal) => {
      pipe?.write("gone\n");
      resolve({ code, signal });
    });
    child.once("error", () => {
      if (child.pid === undefined) resolve({ code: null, signal: null });
    });
  });
  if (child.pid === undefined) {
    throw new Error(
      "Cannot start /bin/sh, which guards child processes. Plexus' test tools need Linux, macOS or WSL.",
    );
  }
  return { child, exited, release: () => pipe?.end("done\n") };
}
