import {
  KINDS,
  MeshError,
  encodePayload,
  escapeKey,
  isMeshError,
  packEvent,
  type EnvelopeFields,
} from "@plexus/core";
import {
  ArchiveCheck,
  archivedEvents,
  archivedRecords,
  type ArchiveSummary,
  type ArchivedRecord,
} from "./journal-archive.ts";
import type { JournalServices } from "./journal-services.ts";
import type { JournalInfo } from "./nats/journal-store.ts";
import { readRecords } from "./record-reader.ts";
import type { CursorSource } from "./stream-cursor.ts";
import { isPassing } from "./surely.ts";
import { envelopeBytes } from "./task-message.ts";

/** How far an export, an import or a check is. */
export interface TransferProgress {
  readonly events: number;
  /** Of the journal's sequences, or of the archive's events: how many there are. */
  readonly done: number;
  readonly of: number;
}

/** Options of whatever takes its time with a journal. */
export interface TransferOptions {
  readonly onProgress?: (progress: TransferProgress) => void;
  readonly signal?: AbortSignal;
}

/** Journals without their contracts: what there is, and how it gets out and in. */
export interface JournalCatalog {
  list(): Promise<JournalInfo[]>;
  /**
   * The lines of an archive: one event each, as it was recorded, then one about all of them. The same journal gives the same lines.
   * Rejects with `NO_JOURNAL`.
   */
  export(journal: string, options?: TransferOptions): AsyncIterable<string>;
  /**
   * Puts what an archive has into a journal that is empty or was imported from the beginning of the same archive: repeated, it goes on where
   * it stopped. `lines` is called twice. Rejects with `CONFLICT` if something else is there or is appended meanwhile, `BAD_MESSAGE` if the
   * archive is damaged: then nothing is imported.
   * @returns how many events were new
   */
  import(
    journal: string,
    lines: () => AsyncIterable<string>,
    options?: TransferOptions,
  ): Promise<{ readonly imported: number; readonly events: number }>;
  /** Checks a journal as an archive of it would be. Rejects with `NO_JOURNAL`, or `BAD_MESSAGE` that says what is wrong. */
  verify(journal: string, options?: TransferOptions): Promise<ArchiveSummary>;
}

/** NATS header of an imported record: the archive's hash up to it. */
const CHAIN = "Plexus-Chain";
const WINDOW = 512; // records under way
const MAX_RESUMPTIONS = 5; // in a row, without anything imported
const REPORT_EVERY = 1_000;

/** {@link JournalCatalog} of one mesh connection. */
export class JournalTransfer implements JournalCatalog {
  readonly #services: JournalServices;

  constructor(services: JournalServices) {
    this.#services = services;
  }

  list(): Promise<JournalInfo[]> {
    return this.#services.surely(() => this.#services.store.list());
  }

  async *export(
    journal: string,
    { onProgress, signal }: TransferOptions = {},
  ): AsyncGenerator<string, void, undefined> {
    const info = await this.#info(journal);
    const check = new ArchiveCheck();
    let events = 0;
    const tell = (sequence: number): void =>
      onProgress?.({ events, done: sequence, of: info.lastSequence });
    for await (const record of readRecords(this.#services, this.#source(journal), { signal })) {
      for (const event of archivedEvents(record)) {
        const line = JSON.stringify(event);
        check.take(line);
        yield line;
        if (++events % REPORT_EVERY === 0) tell(record.sequence);
      }
    }
    const end = check.summary(journal);
    tell(end.last);
    yield JSON.stringify({ end });
  }

  async verify(journal: string, options?: TransferOptions): Promise<ArchiveSummary> {
    const check = new ArchiveCheck();
    for await (const line of this.export(journal, options)) check.take(line);
    return check.whole();
  }

  async import(
    journal: string,
    lines: () => AsyncIterable<string>,
    options: TransferOptions = {},
  ): Promise<{ readonly imported: number; readonly events: number }> {
    const { events } = await checkArchive(lines());
    const { store } = this.#services;
    await this.#services.surely(() => store.open(journal));
    let imported = 0;
    const count = (more: number): void => {
      imported += more;
    };
    for (let fruitless = 0; ;) {
      const before = imported;
      try {
        // Goes on where it was, after a failure.
        await this.#importRest(journal, lines(), events, count, options);
        return { imported, events };
      } catch (error) {
        fruitless = imported > before ? 0 : fruitless + 1;
        const again = isPassing(error) || isMeshError(error, "CONFLICT");
        if (!again || fruitless > MAX_RESUMPTIONS || error.details === FOREIGN) throw error;
      }
    }
  }

  async #importRest(
    journal: string,
    lines: AsyncIterable<string>,
    of: number,
    count: (events: number) => void,
    { onProgress, signal }: TransferOptions,
  ): Promise<void> {
    let { chain, last } = await this.#end(journal);
    let done = 0;
    const window = new Set<Promise<void>>();
    let failure: unknown;
    for await (const record of archivedRecords(lines)) {
      done += record.events.length;
      if (chain !== "") {
        if (record.chain === chain) chain = ""; // what follows is new
        continue;
      }
      signal?.throwIfAborted();
      const stored = this.#store(journal, record, last++).then(
        () => count(record.events.length),
        (error: unknown) => {
          failure ??= error;
        },
      );
      window.add(stored);
      void stored.then(() => window.delete(stored));
      if (window.size >= WINDOW) await Promise.race(window);
      if (failure !== undefined) break;
      onProgress?.({ events: done, done, of });
    }
    await Promise.all(window);
    if (failure !== undefined) throw failure;
    if (chain === "") return;
    const text = `Journal ${journal} was imported from something else than the beginning of this archive.`;
    throw new MeshError("CONFLICT", text, { details: FOREIGN, retryable: false });
  }

  /** What was imported last, and the stream's last sequence. Throws `CONFLICT` if what is there was not imported. */
  async #end(journal: string): Promise<{ chain: string; last: number }> {
    const { js, store } = this.#services;
    const { stream, subject } = this.#source(journal);
    const found = await this.#services.surely(() => js.last(stream, subject));
    if (found === undefined) {
      const last = await this.#services.surely(() => store.lastSequence(journal));
      return { chain: "", last };
    }
    const chain = found.header(CHAIN);
    if (chain !== undefined) return { chain, last: found.sequence };
    const text = `Journal ${journal} has events that were not imported: import into an empty one.`;
    throw new MeshError("CONFLICT", text, { details: FOREIGN, retryable: false });
  }

  /** Stores a record right behind a sequence, or not at all. */
  async #store(journal: string, record: ArchivedRecord, behind: number): Promise<void> {
    const { runtime, js } = this.#services;
    const { id, key, by, at, parents, events, chain } = record;
    const fields: EnvelopeFields = {
      kind: KINDS.state_update,
      id,
      sender: by,
      recipient: key,
      name: journal,
      sentAt: at * 1_000,
      parents: parents.length > 0 ? parents : undefined,
      payload: encodePayload(events.map(packEvent)),
      seq: events.length,
    };
    const data = Buffer.from(envelopeBytes(fields));
    const headers = { [CHAIN]: chain, "Nats-Expected-Last-Sequence": String(behind) };
    await js.publish(runtime.subjects.journal(journal, escapeKey(key)), data, { headers });
  }

  async #info(journal: string): Promise<JournalInfo> {
    const info = await this.#services.surely(() => this.#services.store.info(journal));
    if (info) return info;
    const text = `There is no journal ${journal} in this mesh. \`plexus journal ls\` lists those there are.`;
    throw new MeshError("NO_JOURNAL", text);
  }

  #source(journal: string): CursorSource {
    const { store, runtime } = this.#services;
    return {
      stream: store.stream(journal),
      subject: runtime.subjects.journal(journal, "*"),
      open: () => Promise.resolve(),
    };
  }
}

/** Details of an error that no repetition mends. */
const FOREIGN = "foreign";

/** Reads an archive to its end. Rejects with `BAD_MESSAGE`, which names the line. */
export async function checkArchive(
  lines: AsyncIterable<string>,
  counted: (events: number) => void = () => undefined,
): Promise<ArchiveSummary> {
  const check = new ArchiveCheck();
  let events = 0;
  for await (const line of lines) {
    if (line !== "" && check.take(line)) counted(++events);
  }
  return check.whole();
}
