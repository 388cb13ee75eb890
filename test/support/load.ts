import { setImmediate as turn } from "node:timers/promises";

/** Calls without a pause in several lanes, until it is stopped or its scope is left. */
export interface Load extends AsyncDisposable {
  /** What the calls have resolved with, each value once. */
  readonly answers: ReadonlySet<unknown>;
  readonly answered: number;
  readonly failures: readonly unknown[];
  stop(): Promise<void>;
}

/** Starts one lane for each of these functions. */
export function startLoad(calls: readonly (() => Promise<unknown>)[]): Load {
  const ended = new AbortController();
  const answers = new Set<unknown>();
  const failures: unknown[] = [];
  let answered = 0;
  const lane = async (call: () => Promise<unknown>): Promise<void> => {
    while (!ended.signal.aborted) {
      try {
        answers.add(await call());
        answered++;
      } catch (error) {
        failures.push(error);
        // Calls that fail at once must not starve everything else.
        await turn();
      }
    }
  };
  const running = Promise.all(calls.map(lane));
  const stop = async (): Promise<void> => {
    ended.abort();
    await running;
  };
  return {
    answers,
    failures,
    get answered() {
      return answered;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
