import { escapeKey } from "@plexus/core";
import { demandKey } from "./entity-command.ts";
import type { EventSource } from "./event-source.ts";
import type { JournalHome } from "./journal-home.ts";
import { beginning, checkPlace, type Place } from "./record-reader.ts";

/** What is compacted. */
export interface CompactOptions {
  /** Default: every key. */
  readonly key?: string;
  /** Appends before it go, except the last one of each key, which says where the key is. */
  readonly before: Place;
}

/** What a compaction has done. */
export interface Compacted {
  /** How many appends were purged. */
  readonly purged: number;
  /** The first sequence that it has left alone. */
  readonly before: number;
}

const AT_A_TIME = 16; // purges under way: each is a little work for the broker

/** See `JournalClient.compact()`. */
export async function compactJournal(
  { services, compactions }: JournalHome,
  source: EventSource,
  journal: string,
  { key, before: place }: CompactOptions,
): Promise<Compacted> {
  checkPlace("before", place);
  const { js, store, runtime } = services;
  const { stream } = source;
  const before = await services.surely(async () => {
    await source.open();
    return beginning(services, source, place);
  });
  const purge = async (token: string): Promise<number> => {
    const subject = runtime.subjects.journal(journal, token);
    const last = await services.surely(() => js.last(stream, subject));
    const upTo = Math.min(before, last?.sequence ?? 0) - 1;
    return upTo < 1 ? 0 : services.surely(() => js.purge(stream, subject, upTo));
  };
  const purgeAll = async (): Promise<number> => {
    const tokens =
      key === undefined
        ? await services.surely(() => store.keysWithHistory(journal))
        : [escapeKey(demandKey(key))];
    let purged = 0;
    const lane = async (): Promise<void> => {
      for (let token = tokens.pop(); token !== undefined; token = tokens.pop()) {
        const gone = await purge(token);
        purged += gone;
      }
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, lane));
    return purged;
  };
  return { purged: await compactions.compact(source, before, purgeAll), before };
}
