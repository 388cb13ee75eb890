import { toMeshError, type MeshError } from "@plexus/core";
import type { JournalServices } from "./journal-services.ts";
import type { CursorAddress } from "./nats/journal-store.ts";
import { RecordPull, type PulledRecord } from "./nats/record-pull.ts";
import { newId } from "./runtime.ts";
import { untilConnected } from "./surely.ts";

/** What a cursor reads. */
export interface CursorSource {
  /** Makes sure that the stream exists. */
  open(): Promise<void>;
  readonly stream: string;
  /** May hold wildcards. */
  readonly subject: string;
}

/** What a cursor tells. */
export interface CursorEvents {
  /** A record, to be {@link StreamCursor.release | released} when it is done with. */
  take(record: PulledRecord): void;
  /** The broker has lost the stream, and another one has been made of its name: what comes from now on is from its beginning. */
  reborn(): void;
  /** The broker refuses, for good: nothing comes any more. */
  failed(error: MeshError): void;
}

const CHECK_MS = 1_000;
const PAUSE_MS = 250; // before asking again a broker that has just failed

/**
 * Reads what a stream holds on a subject from a sequence on, in order, and goes on with what is stored afterwards. When
 * anything is missing, the connection breaks or the broker forgets, it begins again behind the last record: no gap and no repetition.
 */
export class StreamCursor {
  readonly #services: JournalServices;
  readonly #source: CursorSource;
  readonly #on: CursorEvents;
  #from: number;
  #pull: RecordPull | undefined;
  #address: CursorAddress | undefined;
  /** When the stream was made. */
  #born: string | undefined;
  #expected = 1;
  #timer: NodeJS.Timeout | undefined;
  #recovering = false;
  #ended = false;
  #forget: (() => void) | undefined;

  constructor(services: JournalServices, source: CursorSource, from: number, on: CursorEvents) {
    this.#services = services;
    this.#source = source;
    this.#from = from;
    this.#on = on;
  }

  /** Begins to read. Rejects if the broker refuses, or does not answer for 30 s. */
  async open(): Promise<void> {
    await this.#services.surely(
      () => this.#begin(),
      () => this.#ended,
    );
    this.#timer = setInterval(() => this.#pull?.check(), CHECK_MS).unref();
  }

  /** A record is done with. */
  release({ data }: PulledRecord): void {
    this.#pull?.release(data.length);
  }

  async end(): Promise<void> {
    this.#ended = true;
    clearInterval(this.#timer);
    this.#forget?.();
    this.#pull?.stop();
    await this.#drop();
  }

  async #begin(): Promise<void> {
    const { store, runtime } = this.#services;
    const { stream, subject } = this.#source;
    await this.#source.open();
    const born = await store.born(stream);
    if (this.#born !== undefined && born !== this.#born && !this.#ended) {
      runtime.log.error({ stream }, "the broker has lost what was read: from the beginning");
      this.#from = 1;
      this.#on.reborn();
    }
    this.#born = born;
    const address = await store.cursor(stream, `c${newId().slice(-12)}`, subject, this.#from);
    this.#address = address;
    if (this.#ended) return this.#drop();
    this.#expected = 1;
    // What was on its way when the connection broke does not come any more.
    this.#forget?.();
    this.#forget = runtime.whenConnected(() => this.#again("the connection broke"));
    const pull: RecordPull = new RecordPull(runtime.link, this.#services.nextInbox(), address, {
      take: (record) => {
        if (pull !== this.#pull) return;
        if (record.delivery !== this.#expected) {
          this.#again("a record is missing");
          return;
        }
        this.#expected++;
        this.#from = record.sequence + 1;
        this.#on.take(record);
      },
      failed: (why) => this.#again(why),
    });
    this.#pull = pull;
  }

  #again(why: string): void {
    if (this.#ended || this.#recovering) return;
    this.#recovering = true;
    void this.#restart(why);
  }

  async #restart(why: string): Promise<void> {
    const { runtime, store } = this.#services;
    const about = { subject: this.#source.subject, why };
    this.#pull?.stop();
    this.#pull = undefined;
    void this.#drop();
    const ended = (): boolean => this.#ended;
    try {
      await untilConnected(runtime, PAUSE_MS);
      store.forget();
      await this.#services.surely(() => this.#begin(), ended, Infinity);
      runtime.log.debug(about, "a cursor goes on where it was");
    } catch (error) {
      if (this.#ended || this.#services.closed) return;
      this.#on.failed(toMeshError(error));
    } finally {
      this.#recovering = false;
    }
  }

  async #drop(): Promise<void> {
    const address = this.#address;
    this.#address = undefined;
    if (address === undefined || !this.#services.runtime.link.connected) return;
    await this.#services.store.endCursor(address).catch(() => undefined);
  }
}
