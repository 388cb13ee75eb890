import { createHash } from "node:crypto";
import { MeshError, fromTaggedJson, toTaggedJson, type RecordedEvent } from "@plexus/core";
import { eventId, readRecord, recordedAt, type StoredRecord } from "./journal-record.ts";

/** One event as a line of an archive has it: as it was recorded, whatever any contract says now. */
export interface ArchivedEvent {
  readonly sequence: number;
  readonly index: number;
  readonly key: string;
  readonly type: string;
  readonly version: number;
  /** What JSON does not have, in tagged form. */
  readonly data: unknown;
  readonly parents: readonly string[];
  readonly at: number;
  readonly id: string;
  readonly by: string;
}

/** What the last line of an archive says of the others. */
export interface ArchiveSummary {
  readonly journal: string;
  readonly events: number;
  /** Appends: each has one event or several. */
  readonly records: number;
  /** Sequences of the first and the last append; 0 and 0 when there is none. */
  readonly first: number;
  readonly last: number;
  /** SHA-256 over all lines, each hashed together with the hash of those before it. */
  readonly chain: string;
}

/** An append as an archive has it. */
export interface ArchivedRecord {
  readonly id: string;
  readonly key: string;
  readonly by: string;
  readonly at: number;
  readonly parents: readonly string[];
  readonly events: readonly RecordedEvent[];
  /** The hash up to its last event. */
  readonly chain: string;
}

/** The events of a record as they were recorded. Throws `BAD_MESSAGE`. */
export function archivedEvents(record: StoredRecord): ArchivedEvent[] {
  const { envelope, events } = readRecord(record.data);
  const { id, recipient: key = "", sender: by, parents = [] } = envelope;
  const { sequence } = record;
  const at = recordedAt(envelope, record.storedAt);
  return events.map(([type, data, version = 1], index) => ({
    sequence,
    index,
    key,
    type,
    version,
    data: toTaggedJson(data),
    parents: index === 0 ? parents : [eventId(id, index - 1)],
    at,
    id: eventId(id, index),
    by,
  }));
}

/**
 * Checks an archive line by line: that appends are in order and whole, ids unique and causes before their effects, every value
 * readable, and what the last line says. Throws `BAD_MESSAGE`, which names the line.
 */
export class ArchiveCheck {
  readonly #ids = new Set<string>();
  readonly #later = new Set<string>();
  #line = 0;
  #records = 0;
  #events = 0;
  #first = 0;
  #last: ArchivedEvent | undefined;
  #chain = "";
  #summary: ArchiveSummary | undefined;

  /** The hash of the lines so far. */
  get chain(): string {
    return this.#chain;
  }

  /** What the last line has to say, if `journal` is whose events these are. */
  summary(journal: string): ArchiveSummary {
    return {
      journal,
      events: this.#events,
      records: this.#records,
      first: this.#first,
      last: this.#last?.sequence ?? 0,
      chain: this.#chain,
    };
  }

  /** Takes a line and returns its event; undefined for the last line. */
  take(line: string): ArchivedEvent | undefined {
    this.#line++;
    if (this.#summary) throw this.#bad("there is something behind the end");
    const content = this.#parse(line);
    if ("end" in content) {
      this.#end(content.end as ArchiveSummary);
      return undefined;
    }
    const event = content as unknown as ArchivedEvent;
    this.#checkShape(event);
    this.#checkPlace(event);
    this.#checkCauses(event);
    this.#chain = createHash("sha256").update(this.#chain).update(line).digest("hex");
    this.#last = event;
    this.#events++;
    return event;
  }

  /** What the last line has said. Throws `BAD_MESSAGE` if there was none: the archive is not whole. */
  whole(): ArchiveSummary {
    if (this.#summary) return this.#summary;
    throw this.#bad("the archive ends without its last line: it is not whole");
  }

  #parse(line: string): Record<string, unknown> {
    try {
      const content: unknown = JSON.parse(line);
      if (typeof content === "object" && content !== null)
        return content as Record<string, unknown>;
    } catch {
      // Said below.
    }
    throw this.#bad("it is no JSON object");
  }

  #checkShape({
    sequence,
    index,
    key,
    type,
    version,
    data,
    parents,
    at,
    id,
    by,
  }: ArchivedEvent): void {
    const numbers = [sequence, index, version, at].every((number) => Number.isSafeInteger(number));
    const texts = [key, type, id, by].every((text) => typeof text === "string");
    const list = Array.isArray(parents) && parents.every((parent) => typeof parent === "string");
    if (!numbers || !texts || !list || data === undefined) throw this.#bad("it is no event");
    try {
      fromTaggedJson(data);
    } catch (cause) {
      throw this.#bad(`its data cannot be read: ${cause instanceof Error ? cause.message : ""}`);
    }
  }

  #checkPlace({ sequence, index, key, id, parents }: ArchivedEvent): void {
    const last = this.#last;
    if (index === 0) {
      if (last && sequence <= last.sequence)
        throw this.#bad(`sequence ${sequence} is not behind ${last.sequence}`);
      this.#records++;
      this.#first ||= sequence;
      return;
    }
    const whole =
      last?.sequence === sequence &&
      last.index === index - 1 &&
      last.key === key &&
      parents.length === 1;
    if (!whole || parents[0] !== last.id)
      throw this.#bad(`event ${id} does not follow the one before of its append`);
  }

  #checkCauses({ key, id, parents }: ArchivedEvent): void {
    const own = `${id}\n${key}`; // ids are unique within their key
    if (this.#ids.has(own)) throw this.#bad(`id ${id} occurs twice in key ${key}`);
    if (this.#later.has(own)) throw this.#bad(`event ${id} comes behind one that it has caused`);
    this.#ids.add(own);
    for (const parent of parents) {
      const cause = `${parent}\n${key}`;
      if (!this.#ids.has(cause)) this.#later.add(cause); // of another key, purged, or not yet there
    }
  }

  #end(said: ArchiveSummary): void {
    const found = this.summary(said?.journal);
    for (const name of ["events", "records", "first", "last", "chain"] as const) {
      if (said[name] !== found[name]) {
        throw this.#bad(`its end says ${name} ${String(said[name])}, but it is ${found[name]}`);
      }
    }
    this.#summary = said;
  }

  #bad(why: string): MeshError {
    return new MeshError("BAD_MESSAGE", `Line ${this.#line} of the archive: ${why}.`);
  }
}

/** The appends of an archive, checked; returns what its last line says. Throws `BAD_MESSAGE`. */
export async function* archivedRecords(
  lines: AsyncIterable<string> | Iterable<string>,
): AsyncGenerator<ArchivedRecord, ArchiveSummary, undefined> {
  const check = new ArchiveCheck();
  let open: ArchivedEvent[] = [];
  let chain = "";
  for await (const line of lines) {
    if (line === "") continue;
    const event = check.take(line);
    if (open.length > 0 && event?.index !== open.length) {
      yield recordOf(open, chain);
      open = [];
    }
    if (event) open.push(event);
    ({ chain } = check);
  }
  return check.whole();
}

function recordOf(events: readonly ArchivedEvent[], chain: string): ArchivedRecord {
  const [{ id, key, by, at, parents }] = events as readonly [ArchivedEvent];
  const recorded = events.map(({ type, data, version }): RecordedEvent => [
    type,
    fromTaggedJson(data),
    version,
  ]);
  return { id, key, by, at, parents, events: recorded, chain };
}
