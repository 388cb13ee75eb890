import { MeshError, isMeshError } from "@plexus/core";
import { nowMs } from "./clock.ts";
import { isUndecided } from "./nats/jetstream-error.ts";
import type { Runtime } from "./runtime.ts";

const PAUSE_MS = 100;
const MAX_PAUSE_MS = 2_000;
/** A cluster that has lost a broker may take longer to say what there is than a stream to have a leader again. */
const REOPEN_MS = 1_000;

/** When {@link surely} ends, and what it does between two attempts. */
export interface Persistence {
  /** Monotonic. Default: never. */
  readonly untilMs?: number;
  readonly closed: () => boolean;
  /** Makes what the broker may have lost. */
  readonly reopen: () => Promise<void>;
}

/**
 * Repeats a write until the broker has taken or refused it, through disconnections. The write must be safe to repeat.
 * Rejects with what refused it, `CONFLICT` above all, or with the last failure once its time has passed.
 */
export async function surely<T>(
  runtime: Runtime,
  write: () => Promise<T>,
  { untilMs = Infinity, closed, reopen }: Persistence,
): Promise<T> {
  for (let pause = PAUSE_MS; ; pause = Math.min(pause * 2, MAX_PAUSE_MS)) {
    try {
      return await write();
    } catch (error) {
      if (!isPassing(error) || closed() || nowMs() + pause >= untilMs) throw error;
      await untilConnected(runtime, pause);
      if (closed()) {
        throw new MeshError("NOT_CONNECTED", "This connection to the mesh is closed.");
      }
      // With a connection and still nobody to take it, the broker may have lost the stream. (Without one, asking it only
      // waits for a timeout.)
      if (!runtime.link.connected || !isMeshError(error, "NOT_CONNECTED")) continue;
      await remade(reopen);
    }
  }
}

/** Lets be made again what the broker may have lost. Does not wait for it for long, and not for its success. */
export function remade(reopen: () => Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, REOPEN_MS);
    const end = (): void => {
      clearTimeout(timer);
      resolve();
    };
    reopen().then(end, end);
  });
}

/** True if the same write may succeed later. */
export function isPassing(error: unknown): error is MeshError {
  return (
    isMeshError(error, "TIMEOUT") ||
    isMeshError(error, "NOT_CONNECTED") ||
    isMeshError(error, "OVERLOADED") ||
    isUndecided(error)
  );
}

/** The outcome of a request, or `NOT_CONNECTED` once the connection has broken and is back: then no answer comes any more. */
export function unlessCut<T>(runtime: Runtime, request: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const forget = runtime.whenConnected(() =>
      reject(new MeshError("NOT_CONNECTED", "The connection broke before the broker answered.")),
    );
    request.finally(forget).then(resolve, reject);
  });
}

/** Waits for `ms`, but without a connection not longer than until it is back. */
export function untilConnected(runtime: Runtime, ms: number): Promise<void> {
  return new Promise<void>((resolve) => {
    const timer = setTimeout(() => {
      forget?.();
      resolve();
    }, ms);
    const forget = runtime.link.connected
      ? undefined
      : runtime.whenConnected(() => {
          clearTimeout(timer);
          resolve();
        });
  });
}
