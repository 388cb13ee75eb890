import { MeshError, toTimerMs, type Duration } from "@plexus/core";
import type { Directory } from "./directory.ts";

/** Options of `mesh.waitFor`. */
export interface WaitForOptions {
  /** How many of them. Default 1. */
  readonly instances?: number;
  /** Default 30 s. */
  readonly timeout?: Duration;
  readonly signal?: AbortSignal;
}

/**
 * Resolves once so many instances of an agent are live. Rejects with `NO_AGENT` when the time is over, `CANCELED`, or with the
 * reason of `ended`, which fires when the connection is closed.
 */
export async function waitForAgent(
  directory: Directory,
  ended: AbortSignal,
  mesh: string,
  agent: string,
  { instances = 1, timeout = "30s", signal }: WaitForOptions,
): Promise<void> {
  const timeoutMs = toTimerMs(timeout);
  ended.throwIfAborted();
  const found = (): number => directory.counts().get(agent) ?? 0;
  if (found() >= instances) return;
  await new Promise<void>((resolve, reject) => {
    const end = (outcome: () => void): void => {
      clearTimeout(timer);
      stop();
      signal?.removeEventListener("abort", abort);
      ended.removeEventListener("abort", close);
      outcome();
    };
    const abort = (): void => {
      const options = { cause: signal?.reason };
      end(() => reject(new MeshError("CANCELED", `No longer waiting for ${agent}.`, options)));
    };
    const close = (): void => end(() => reject(ended.reason as Error));
    const stop = directory.watch(() => {
      if (found() >= instances) end(resolve);
    });
    const timer = setTimeout(() => {
      const text = `${found()} of ${instances} instances of agent ${agent} are in mesh ${mesh}.`;
      end(() => reject(new MeshError("NO_AGENT", text)));
    }, timeoutMs);
    ended.addEventListener("abort", close, { once: true });
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort, { once: true });
  });
}
