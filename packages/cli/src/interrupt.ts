import { EXIT, Interrupted } from "./exit-codes.ts";

/** A terminal and a parent may both deliver the same Ctrl-C. */
const SAME_PRESS_MS = 500;

/**
 * Runs `work` with a signal that fires on the first Ctrl-C (or SIGTERM); a second press ends the process at once.
 * @throws Interrupted once an interrupted `work` has settled, however it did
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const { signal } = controller;
  let pressedMs = -Infinity;
  const press = (): void => {
    const now = performance.now();
    if (signal.aborted && now - pressedMs > SAME_PRESS_MS) process.exit(EXIT.interrupted);
    pressedMs = now;
    controller.abort(new Interrupted("interrupted"));
  };
  process.on("SIGINT", press).on("SIGTERM", press);
  try {
    const result = await work(signal);
    if (!signal.aborted) return result;
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    process.off("SIGINT", press).off("SIGTERM", press);
  }
  throw signal.reason;
}

/** Resolves when the signal fires. */
export function fired(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
