import { now, sleep } from "./clock.ts";

/**
 * Open loop: starts `rate` operations a second whether or not earlier ones have ended, and hands each the
 * time at which it *should* have started, so a stalled process is charged for what it delayed (no coordinated
 * omission). Timers tick in milliseconds, so a tick's worth starts together; where the operations push back,
 * the next tick waits for them.
 */
export async function openLoop(
  rate: number,
  seconds: number,
  start: (intended: number) => unknown,
): Promise<number> {
  const begin = now();
  const total = Math.round(rate * seconds);
  let started = 0;
  while (started < total) {
    const due = Math.min(total, Math.floor(((now() - begin) / 1000) * rate) + 1); // the first one is due at once
    const pending: unknown[] = [];
    for (; started < due; started += 1) pending.push(start(begin + (started / rate) * 1000));
    await Promise.all(pending);
    await sleep(1);
  }
  return started;
}

/** Closed loop: `outstanding` callers, each starting its next operation when its last one ended. */
export async function closedLoop(
  outstanding: number,
  seconds: number,
  operation: () => Promise<unknown>,
): Promise<void> {
  const end = now() + seconds * 1000;
  const caller = async (): Promise<void> => {
    // One at a time is what a closed-loop caller is.
    while (now() < end) await operation();
  };
  await Promise.all(Array.from({ length: outstanding }, caller));
}
