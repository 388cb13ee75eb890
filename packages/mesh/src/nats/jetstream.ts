import { MeshError, toMeshError } from "@plexus/core";
import { nowMs } from "../clock.ts";
import { apiError, isNoMessage, unknownFate } from "./jetstream-error.ts";
import type { Headers, Link, LinkSubscription } from "./link.ts";
import { direct, stored, type ApiMessage, type StoredMessage } from "./stored-message.ts";

/** What a stream must look like for a message to be stored. */
export interface Expectation {
  /** Sequence of the last message on `subject`; 0: there is none. */
  readonly sequence: number;
  /** May hold wildcards. Default: the subject of the message itself. */
  readonly subject?: string;
}

/** One message of a batch. */
export interface Outgoing {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

interface Waiting {
  readonly deadlineMs: number;
  readonly bytes: number;
  /** Takes one of several answers. False: it is the last one, for {@link answer}. */
  part?(data: Uint8Array, headers: Headers | undefined): boolean;
  answer(data: Uint8Array, headers: Headers | undefined): void;
  fail(error: MeshError): void;
}

const TIMEOUT_MS = 5_000;
const SWEEP_MS = 100;
const MAX_IN_FLIGHT = 4_096;
const MAX_BYTES_IN_FLIGHT = 32 * 1024 * 1024;
const NOT_FOUND = 404;
const BATCH_ENDS = new Set([204, NOT_FOUND]); // that was all; there is nothing
const MAX_BATCH_BYTES = 4 * 1024 * 1024; // of one answer to a batched read, which always has one message at least

/**
 * The hot path to JetStream: publishes that are confirmed, and requests to its API. Every answer comes to one wildcard
 * subscription, so that a confirmed publish costs a map entry (nats.js makes a timer, a race and an Error for each).
 */
export class JetStream {
  readonly #link: Link;
  readonly #prefix: string;
  readonly #timeoutMs: number;
  readonly #waiting = new Map<string, Waiting>();
  readonly #subscriptions: readonly LinkSubscription[];
  #next = 0;
  /**
   * Ids that were answered: used again, as the broker remembers where subjects lead that it has met before. Not in a cluster, where
   * there may be a second answer: of a leader that hung and has not heard of the next one.
   */
  readonly #spare: string[] = [];
  #bytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #room: (() => void)[] = [];

  /**
   * @param prefix of the reply subjects, within the client's inbox
   * @param witnessed a pattern for those reply subjects on which others listen, too
   * @param timeoutMs how long the broker may take for one answer
   */
  constructor(link: Link, prefix: string, witnessed?: string, timeoutMs = TIMEOUT_MS) {
    this.#link = link;
    this.#prefix = prefix;
    this.#timeoutMs = timeoutMs;
    const own = [
      link.subscribe(`${prefix}.*`, (data, subject, _reply, headers) => {
        const id = subject.slice(prefix.length + 1);
        if (this.#waiting.get(id)?.part?.(data, headers)) return;
        const waiting = this.#take(id);
        if (waiting === undefined) return; // too late: whoever asked has given up, and this id with it
        if (!link.clustered) this.#spare.push(id);
        try {
          waiting.answer(data, headers);
        } catch (error) {
          waiting.fail(toMeshError(error)); // it cannot be read, and there is no other one
        }
      }),
    ];
    if (witnessed !== undefined) {
      own.push(
        link.subscribe(witnessed, (data, subject, _reply, headers) =>
          this.#take(subject)?.answer(data, headers),
        ),
      );
    }
    this.#subscriptions = own;
  }

  /**
   * Stores a message and resolves with its sequence. Rejects with `CONFLICT` when the expectation does not hold,
   * `OVERLOADED` when the stream is full, `NOT_CONNECTED` when it was not sent, `TIMEOUT` when its fate is unknown.
   * With a `witness`, the broker's answer goes to that subject, one of those that are witnessed.
   */
  async publish(
    subject: string,
    data: Uint8Array,
    options: {
      expect?: Expectation;
      headers?: Readonly<Record<string, string>>;
      witness?: string;
    } = {},
  ): Promise<number> {
    const { expect, witness } = options;
    let { headers } = options;
    if (expect) {
      headers = {
        ...headers,
        "Nats-Expected-Last-Subject-Sequence": String(expect.sequence),
        ...(expect.subject === undefined
          ? {}
          : { "Nats-Expected-Last-Subject-Sequence-Subject": expect.subject }),
      };
    }
    const bytes = data.length + headerBytes(headers);
    if (bytes > this.#link.maxPayload) {
      throw new MeshError(
        "MESSAGE_TOO_LARGE",
        `${bytes} bytes for ${subject} do not fit the broker's limit of ${this.#link.maxPayload}. Send a reference, or raise max_payload.`,
      );
    }
    await this.#roomFor();
    return this.#confirmed(subject, data, headers, data.length, witness);
  }

  /**
   * Stores all of these messages, for one stream that allows it, one behind the other, or none of them (ADR-50 of NATS).
   * Rejects like {@link publish}, and with `INCOMPATIBLE_BROKER` when the broker refuses the batch as such: because one of
   * the messages is stored already, for example.
   * @param id of this attempt: of 64 characters at most, and never used again
   * @returns the sequence of the last one
   */
  async publishBatch(id: string, messages: readonly Outgoing[]): Promise<number> {
    await this.#roomFor();
    const last = messages.length - 1;
    let bytes = 0;
    let sequence = 0;
    for (const [i, { subject, data, headers }] of messages.entries()) {
      bytes += data.length;
      const numbered = { ...headers, "Nats-Batch-Id": id, "Nats-Batch-Sequence": String(i + 1) };
      if (i === last) {
        sequence = await this.#confirmed(
          subject,
          data,
          { ...numbered, "Nats-Batch-Commit": "1" },
          bytes,
        );
      } else if (!this.#link.publish(subject, data, undefined, numbered)) {
        throw new MeshError("NOT_CONNECTED", `${subject}: not sent, there is no broker.`);
      }
    }
    return sequence;
  }

  /** Asks the JetStream API, `name` being what follows `$JS.API.`. */
  api(name: string, body: object): Promise<Record<string, unknown>> {
    return new Promise((resolve, reject) => {
      this.#send(`$JS.API.${name}`, Buffer.from(JSON.stringify(body)), undefined, {
        deadlineMs: nowMs() + this.#timeoutMs,
        bytes: 0,
        answer: (answer) => {
          const text = Buffer.from(answer.buffer, answer.byteOffset, answer.length).toString();
          // Nothing at all comes from a broker whose JetStream is off, or not ready.
          if (text === "" || text.includes('"error":{')) reject(apiError(name, text));
          else resolve(JSON.parse(text) as Record<string, unknown>);
        },
        fail: reject,
      });
    });
  }

  /** The last message on a subject, which may hold wildcards, as the stream's leader knows it. */
  async last(stream: string, subject: string): Promise<StoredMessage | undefined> {
    return this.#get(stream, { last_by_subj: subject });
  }

  /** The first message on a subject, wildcards allowed, from a sequence on. */
  async next(stream: string, subject: string, from: number): Promise<StoredMessage | undefined> {
    return this.#get(stream, { seq: from, next_by_subj: subject });
  }

  /** The first message on a subject, wildcards allowed, that was stored at a time or later. */
  async since(stream: string, subject: string, time: Date): Promise<StoredMessage | undefined> {
    return this.#get(stream, { start_time: time.toISOString(), next_by_subj: subject });
  }

  /**
   * The next messages on a subject, wildcards allowed, from a sequence on, as one of the stream's replicas knows them: some of
   * them, `count` at most, or none if there are none.
   */
  batch(stream: string, subject: string, from: number, count: number): Promise<StoredMessage[]> {
    const query = { seq: from, next_by_subj: subject, batch: count, max_bytes: MAX_BATCH_BYTES };
    return this.#directly(stream, query);
  }

  /** The message of a sequence, as one of the stream's replicas knows it; undefined: that one has none. */
  at(stream: string, sequence: number): Promise<StoredMessage | undefined> {
    const name = `DIRECT.GET.${stream}`;
    return new Promise((resolve, reject) => {
      this.#send(`$JS.API.${name}`, Buffer.from(JSON.stringify({ seq: sequence })), undefined, {
        deadlineMs: nowMs() + this.#timeoutMs,
        bytes: 0,
        answer: (data, headers) => {
          if (headers?.code === 0) resolve(direct(data, headers));
          else if (headers?.code === NOT_FOUND) resolve(undefined);
          else reject(apiError(name, ""));
        },
        fail: reject,
      });
    });
  }

  /** The last messages on some subjects, as one of the stream's replicas knows them at one moment. */
  lastOf(stream: string, subjects: readonly string[]): Promise<StoredMessage[]> {
    return this.#directly(stream, { multi_last: subjects });
  }

  /** The subjects on which a stream holds something, of those that match. */
  async subjects(stream: string, matching: string): Promise<string[]> {
    const found: string[] = [];
    for (;;) {
      const query = { subjects_filter: matching, offset: found.length };
      const info = await this.api(`STREAM.INFO.${stream}`, query);
      const { subjects = {} } = info["state"] as { subjects?: object };
      found.push(...Object.keys(subjects));
      if (found.length >= ((info["total"] as number | undefined) ?? 0)) return found;
    }
  }

  #directly(stream: string, query: object): Promise<StoredMessage[]> {
    const messages: StoredMessage[] = [];
    const name = `DIRECT.GET.${stream}`;
    return new Promise((resolve, reject) => {
      this.#send(`$JS.API.${name}`, Buffer.from(JSON.stringify(query)), undefined, {
        deadlineMs: nowMs() + this.#timeoutMs,
        bytes: 0,
        part: (data, headers) => {
          if (headers === undefined || headers.code !== 0) return false;
          messages.push(direct(data, headers));
          return true;
        },
        answer: (_data, headers) => {
          if (headers && BATCH_ENDS.has(headers.code)) resolve(messages);
          else reject(apiError(name, ""));
        },
        fail: reject,
      });
    });
  }

  /**
   * Deletes what is stored on a subject, which may hold wildcards, up to a sequence if one is given. Returns how many
   * messages that were.
   */
  async purge(stream: string, subject: string, upTo?: number): Promise<number> {
    const range = upTo === undefined ? {} : { seq: upTo + 1 };
    const { purged } = await this.api(`STREAM.PURGE.${stream}`, { filter: subject, ...range });
    return purged as number;
  }

  /** The connection broke: the fate of everything under way is unknown. */
  connectionLost(): void {
    this.#spare.length = 0; // the next broker may be one of several
    this.#failAll("the connection to the broker broke");
  }

  close(): void {
    this.#failAll("this connection to the mesh is closed");
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
  }

  async #roomFor(): Promise<void> {
    while (this.#waiting.size >= MAX_IN_FLIGHT || this.#bytes >= MAX_BYTES_IN_FLIGHT) {
      // Until there is room.
      await new Promise<void>((resolve) => this.#room.push(resolve));
    }
  }

  #confirmed(
    subject: string,
    data: Uint8Array,
    headers: Readonly<Record<string, string>> | undefined,
    bytes: number,
    witness?: string,
  ): Promise<number> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        deadlineMs: nowMs() + this.#timeoutMs,
        bytes,
        answer: (answer) => {
          const text = latin1(answer);
          const sequence = sequenceIn(text);
          if (sequence === undefined) reject(apiError(subject, text));
          else resolve(sequence);
        },
        fail: reject,
      };
      this.#send(subject, data, headers, waiting, witness);
    });
  }

  async #get(stream: string, query: object): Promise<StoredMessage | undefined> {
    try {
      const { message } = await this.api(`STREAM.MSG.GET.${stream}`, query);
      return stored(message as ApiMessage);
    } catch (error) {
      if (isNoMessage(error)) return undefined;
      throw error;
    }
  }

  #send(
    subject: string,
    data: Uint8Array,
    headers: Readonly<Record<string, string>> | undefined,
    waiting: Waiting,
    witness?: string,
  ): void {
    const id = witness ?? this.#spare.pop() ?? String(this.#next++);
    this.#waiting.set(id, waiting);
    this.#bytes += waiting.bytes;
    this.#timer ??= setInterval(() => this.#sweep(), SWEEP_MS).unref();
    if (this.#link.publish(subject, data, witness ?? `${this.#prefix}.${id}`, headers)) return;
    this.#take(id);
    waiting.fail(new MeshError("NOT_CONNECTED", `${subject}: not sent, there is no broker.`));
  }

  #take(id: string): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return undefined;
    this.#waiting.delete(id);
    this.#bytes -= waiting.bytes;
    if (this.#room.length > 0) this.#room.shift()!();
    return waiting;
  }

  #sweep(): void {
    const now = nowMs();
    for (const [id, waiting] of this.#waiting) {
      if (waiting.deadlineMs > now) break; // all wait equally long, so the oldest come first
      this.#take(id);
      waiting.fail(unknownFate(`the broker has not confirmed within ${this.#timeoutMs} ms`));
    }
    if (this.#waiting.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #failAll(why: string): void {
    for (const id of this.#waiting.keys()) this.#take(id)?.fail(unknownFate(why));
  }
}

/** True for the broker's answer to a message that it has stored. */
export function isStored(answer: Uint8Array): boolean {
  return sequenceIn(latin1(answer)) !== undefined;
}

/** The sequence in an answer to a publish; undefined: it was refused, or nobody was there to store it. */
function sequenceIn(text: string): number | undefined {
  const at = text.indexOf('"seq":');
  if (at < 0 || text.includes('"error":')) return undefined;
  return Number.parseInt(text.slice(at + 6), 10);
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

/** What NATS headers take of the broker's limit. */
function headerBytes(headers: Readonly<Record<string, string>> | undefined): number {
  if (headers === undefined) return 0;
  let bytes = "NATS/1.0\r\n\r\n".length;
  for (const name in headers) bytes += name.length + Buffer.byteLength(headers[name]!) + 4;
  return bytes;
}
