import { setTimeout as sleep } from "node:timers/promises";
import { MeshError, isMeshError } from "@plexus/core";
import { nowMs } from "./clock.ts";
import type { Append } from "./journal-append.ts";
import { eventId, readRecord } from "./journal-record.ts";
import type { JournalServices } from "./journal-services.ts";
import { isRepeated, isUndecided } from "./nats/jetstream-error.ts";
import type { StoredMessage } from "./nats/stored-message.ts";

const UNDECIDED_MS = 2;
const LAG_MS = 20; // before a leader that has just changed, or a replica, is asked again
const SCAN = 256;

/** Finds out what a refused append has met: itself, stored by an attempt whose answer was lost, or somebody else's. */
export class JournalConflict {
  readonly #services: JournalServices;
  readonly #journal: string;
  readonly #stream: string;

  constructor(services: JournalServices, journal: string) {
    this.#services = services;
    this.#journal = journal;
    this.#stream = services.store.stream(journal);
  }

  /**
   * The sequence at which the first of these appends is stored already; undefined: the broker had not decided, and it is to be
   * repeated. Throws `CONFLICT`, which says what is there instead, or `DUPLICATE` if an id was used for something else.
   */
  async judge(
    appends: readonly Append[],
    refused: unknown,
    deadlineMs: number,
  ): Promise<number | undefined> {
    if (isUndecided(refused)) {
      if (nowMs() < deadlineMs) return sleep(UNDECIDED_MS, undefined);
      const text = `Journal ${this.#journal}: the cluster has not decided in time.`;
      throw new MeshError("TIMEOUT", text, { cause: refused });
    }
    const repeated = isRepeated(refused);
    const own = appends.find(({ expected }) => expected !== undefined);
    if (own === undefined || repeated) {
      const sought = own ?? appends[0]!;
      const found = await this.#find(sought);
      const first = found === undefined ? 0 : found - appends.indexOf(sought);
      if (first > 0 && (await this.#areAt(appends, first))) return first;
      const text = `Journal ${this.#journal}: one of these ids was used before, for another append.`;
      throw new MeshError("DUPLICATE", text, { cause: refused });
    }
    const there = await Promise.all(appends.map((append) => this.#behind(append)));
    const at = there.findIndex((found, i) => found?.id === appends[i]!.id);
    if (at >= 0) return there[at]!.sequence - at;
    throw await this.#conflict(appends, refused);
  }

  /** The id of the last event of the append with this sequence. */
  async lastEventOf(token: string, sequence: number): Promise<string | undefined> {
    const { js } = this.#services;
    const found = await js.next(this.#stream, this.#subject(token), sequence);
    if (found?.sequence !== sequence) return undefined; // then what the append expects is not there either
    const { envelope, events } = readRecord(found.data);
    return eventId(envelope.id, events.length - 1);
  }

  #subject(token: string): string {
    return this.#services.runtime.subjects.journal(this.#journal, token);
  }

  /** What follows what an append expects: the append itself, if an earlier attempt of it was stored. */
  async #behind({
    token,
    expected,
  }: Append): Promise<{ readonly id: string; readonly sequence: number } | undefined> {
    if (expected === undefined) return undefined;
    const { js } = this.#services;
    const found = await this.#services.surely(() =>
      js.next(this.#stream, this.#subject(token), expected + 1),
    );
    return found && { id: readRecord(found.data).envelope.id, sequence: found.sequence };
  }

  /** Where an append is stored that the broker knows by its id. */
  async #find({ token, id, expected = 0 }: Append): Promise<number | undefined> {
    const { js } = this.#services;
    const subject = this.#subject(token);
    const last = await this.#services.surely(() => js.last(this.#stream, subject));
    const end = last?.sequence ?? 0;
    for (let from = expected + 1; from <= end;) {
      const start = from;
      // Each batch begins where the one before ended.
      const records = await this.#services.surely(() =>
        js.batch(this.#stream, subject, start, SCAN),
      );
      const own = records.find(({ data }) => readRecord(data).envelope.id === id);
      if (own) return own.sequence;
      from = (records.at(-1)?.sequence ?? from - 1) + 1;
      if (records.length === 0) await sleep(LAG_MS);
    }
    return undefined;
  }

  /** Whether these appends are what is stored from a sequence on. */
  async #areAt(appends: readonly Append[], first: number): Promise<boolean> {
    const { js } = this.#services;
    const own = await Promise.all(
      appends.map(async ({ token, id }, i) => {
        const at = first + i;
        const found = await this.#services.surely(() =>
          js.next(this.#stream, this.#subject(token), at),
        );
        return found?.sequence === at && readRecord(found.data).envelope.id === id;
      }),
    );
    return own.every(Boolean);
  }

  async #conflict(appends: readonly Append[], cause: unknown): Promise<MeshError> {
    const { js } = this.#services;
    const expecting = appends.filter(({ expected }) => expected !== undefined);
    const found = await Promise.all(
      expecting.map(({ token }) =>
        this.#services.surely(() => js.last(this.#stream, this.#subject(token))),
      ),
    );
    const conflicts = expecting.flatMap(({ key, expected }, i) => {
      const last = found[i];
      return (last?.sequence ?? 0) === expected ? [] : [{ key, expected, ...describe(last) }];
    });
    const texts = conflicts.map(
      ({ key, expected, actual, id }) =>
        `key ${JSON.stringify(key)} is at ${actual === 0 ? "nothing" : `${actual} (event ${id})`}, not at ${expected === 0 ? "nothing" : expected}`,
    );
    const why = texts.length > 0 ? texts.slice(0, 5).join("; ") : "somebody was faster"; // and all is as it was again: a purge
    return new MeshError("CONFLICT", `Journal ${this.#journal}: ${why}.`, {
      cause: isMeshError(cause) ? cause : undefined,
      details: { conflicts },
    });
  }
}

function describe(last: StoredMessage | undefined): { actual: number; id?: string } {
  if (last === undefined) return { actual: 0 };
  const { envelope, events } = readRecord(last.data);
  return { actual: last.sequence, id: eventId(envelope.id, events.length - 1) };
}
