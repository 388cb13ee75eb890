import {
  AckPolicy,
  DeliverPolicy,
  DiscardPolicy,
  RetentionPolicy,
  type StreamInfo,
} from "@nats-io/jetstream";
import { MeshError, type Subjects } from "@plexus/core";
import type { Link } from "./link.ts";
import { Streams } from "./streams.ts";

/** What the broker keeps of a journal. */
export interface JournalInfo {
  readonly journal: string;
  /** Appends that are stored; each has one event or several. */
  readonly records: number;
  readonly keys: number;
  readonly bytes: number;
  /** Of the first and the last append; 0 and 0 when there is none. */
  readonly firstSequence: number;
  readonly lastSequence: number;
  /** When the last one was stored, by the broker's clock; undefined when there is none. */
  readonly lastAt: number | undefined;
}

/** A consumer that lives as long as it is read. */
export interface CursorAddress {
  readonly stream: string;
  readonly consumer: string;
}

// Everything here is asked again, and a cluster that has just lost a node may entrust that one with a cursor: then with another one.
const API_TIMEOUT_MS = 3_000;
const PATIENCE_MS = 0;
const NS_PER_MS = 1_000_000;
const CURSOR_KEPT_MS = 60_000; // one that has not been asked for that long is forgotten
/** How long the broker knows an append by its id. */
export const DEDUPE_MS = 120_000;
/** Metadata of a journal's stream. */
const JOURNAL = "plexus-journal";

/** The streams of journals, one each, on file; nothing in them is ever changed, and only compaction takes anything out. */
export class JournalStore {
  readonly #streams: Streams;
  readonly #subjects: Subjects;
  readonly #opened = new Map<string, Promise<void>>();

  constructor(link: Link, subjects: Subjects) {
    this.#streams = new Streams(link, API_TIMEOUT_MS, PATIENCE_MS);
    this.#subjects = subjects;
  }

  /** No mesh and no other stream can have a `+` in its name. */
  stream(journal: string): string {
    return `${this.#subjects.mesh}-journal+${journal}`;
  }

  /** Makes sure that the journal's stream exists. */
  open(journal: string): Promise<void> {
    let opened = this.#opened.get(journal);
    if (opened === undefined) {
      opened = this.#open(journal);
      this.#opened.set(journal, opened);
      opened.catch(() => this.forget());
    }
    return opened;
  }

  /** Streams have to be made sure of again: the broker may have lost them. */
  forget(): void {
    this.#opened.clear();
  }

  /** Makes a consumer of what a stream holds on a subject, wildcards allowed, from a sequence on. */
  async cursor(
    stream: string,
    name: string,
    subject: string,
    from: number,
  ): Promise<CursorAddress> {
    const made = await this.#streams.addConsumer(stream, {
      name,
      filter_subject: subject,
      ack_policy: AckPolicy.None,
      inactive_threshold: CURSOR_KEPT_MS * NS_PER_MS,
      mem_storage: true,
      num_replicas: 1,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: Math.max(1, from),
    });
    if (made === undefined) throw new MeshError("CONFLICT", `Cursor ${name} exists.`);
    return { stream, consumer: made.name };
  }

  async endCursor({ stream, consumer }: CursorAddress): Promise<void> {
    await this.#streams.deleteConsumer(stream, consumer);
  }

  async list(): Promise<JournalInfo[]> {
    const { mesh } = this.#subjects;
    const found = await this.#streams.list(`${mesh}.journal.>`);
    return found.flatMap((info) => describe(info) ?? []);
  }

  /** Undefined: nothing was ever recorded in a journal of that name. */
  async info(journal: string): Promise<JournalInfo | undefined> {
    const info = await this.#streams.info(this.stream(journal));
    return info && describe(info);
  }

  /** When a stream was made: another one of its name was made at another time. */
  async born(stream: string): Promise<string> {
    const info = await this.#streams.info(stream);
    if (info === undefined) throw new MeshError("NOT_CONNECTED", `${stream} is gone.`);
    return info.created;
  }

  /** The last sequence that was ever given, to what is purged by now, too. */
  async lastSequence(journal: string): Promise<number> {
    return (await this.#streams.info(this.stream(journal)))?.state.last_seq ?? 0;
  }

  /** The keys of a journal that have several records, as tokens. */
  async keysWithHistory(journal: string): Promise<string[]> {
    const prefix = this.#subjects.journal(journal, "");
    const info = await this.#streams.info(this.stream(journal), `${prefix}>`);
    return Object.entries(info?.state.subjects ?? {})
      .filter(([, records]) => records > 1)
      .map(([subject]) => subject.slice(prefix.length));
  }

  async #open(journal: string): Promise<void> {
    this.#streams.demandJetStream();
    await this.#streams.make({
      name: this.stream(journal),
      description: "Plexus journal: what was recorded, by key and in order",
      subjects: [this.#subjects.journal(journal, "*")],
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.New, // a broker that is full refuses, it does not forget
      deny_delete: true,
      allow_atomic: true,
      duplicate_window: DEDUPE_MS * NS_PER_MS,
      metadata: { [JOURNAL]: journal },
    });
  }
}

function describe({ config, state }: StreamInfo): JournalInfo | undefined {
  const journal = config.metadata?.[JOURNAL];
  if (journal === undefined) return undefined;
  const empty = state.messages === 0;
  return {
    journal,
    records: state.messages,
    keys: state.num_subjects ?? 0,
    bytes: state.bytes,
    firstSequence: empty ? 0 : state.first_seq,
    lastSequence: empty ? 0 : state.last_seq,
    lastAt: empty ? undefined : Date.parse(state.last_ts),
  };
}
