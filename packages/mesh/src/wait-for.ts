import { MeshError, toMs, type Duration } from "@plexus/core";
import type { Directory } from "./directory.ts";

/** Options of `mesh.waitFor`. */
export interface WaitForOptions {
  /** How many of them. Default 1. */
  readonly instances?: number;
  /** Default 30 s. */
  readonly timeout?: Duration;
  readonly signal?: AbortSignal;
}

/** Resolves once so many instances of an agent are live. Rejects with `NO_AGENT` when the time is over, or `CANCELED`. */
export async function waitForAgent(
  directory: Directory,
  mesh: string,
  agent: string,
  { instances = 1, timeout = "30s", signal }: WaitForOptions,
): Promise<void> {
  const found = (): number => directory.counts().get(agent) ?? 0;
  if (found() >= instances) return;
  await new Promise<void>((resolve, reject) => {
    const end = (outcome: () => void): void => {
      clearTimeout(timer);
      stop();
      signal?.removeEventListener("abort", abort);
      outcome();
    };
    const abort = (): void => {
      const options = { cause: signal?.reason };
      end(() => reject(new MeshError("CANCELED", `No longer waiting for ${agent}.`, options)));
    };
    const stop = directory.watch(() => {
      if (found() >= instances) end(resolve);
    });
    const timer = setTimeout(() => {
      const text = `${found()} of ${instances} instances of agent ${agent} are in mesh ${mesh}.`;
      end(() => reject(new MeshError("NO_AGENT", text)));
    }, toMs(timeout));
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort, { once: true });
  });
}
