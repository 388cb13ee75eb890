import type { Mesh } from "@plexus/mesh";
import { Account } from "./account.ts";

/** Deposits under way on some keys, each key's one after the other, every third one durable. */
export interface Deposits {
  /** How many have been answered. */
  readonly count: number;
  /** The longest time that a direct command took to be answered since the last {@link reset}. */
  readonly longestMs: number;
  reset(): void;
  /** Ends it; the notes that were answered, by key and in their order. */
  end(): Promise<Map<string, string[]>>;
}

/** Starts to deposit. Whoever ends it learns of a command that failed. */
export function startDeposits(mesh: Mesh, keys: readonly string[]): Deposits {
  const answered = new Map<string, string[]>(keys.map((key) => [key, []]));
  let count = 0;
  let longestMs = 0;
  const stop = new AbortController();
  const lane = async (key: string): Promise<void> => {
    const account = mesh.get(Account, key);
    const notes = answered.get(key)!;
    for (let n = 0; !stop.signal.aborted; n++) {
      if (n % 3 === 2) {
        const durable = `${n} durable`;
        await account.deposit.send({ cents: 1, note: durable }, { id: durable });
        notes.push(durable); // it is executed before the next one is
      }
      const started = performance.now();
      await account.deposit({ cents: 1, note: `${n}` }, { id: `${n}` });
      longestMs = Math.max(longestMs, performance.now() - started);
      notes.push(`${n}`);
      count++;
    }
  };
  const running = Promise.all(keys.map(lane));
  running.catch(() => undefined); // whoever ends it is told
  return {
    get count() {
      return count;
    },
    get longestMs() {
      return longestMs;
    },
    reset: () => {
      longestMs = 0;
    },
    end: async () => {
      stop.abort();
      await running;
      return answered;
    },
  };
}
