import { decodePayload, kindName, readFrame, type Envelope } from "@plexus/core";
import { nowMs } from "./clock.ts";
import { noteBadMessage, type Runtime } from "./runtime.ts";

/** One message as a bystander sees it. */
export interface TappedMessage {
  readonly subject: string;
  readonly kind: string;
  readonly id: string;
  readonly sender: string;
  readonly recipient: string | undefined;
  /** Capability, topic or control verb. */
  readonly name: string;
  /** Microseconds since the epoch, sender's clock. */
  readonly sentAt: number;
  readonly trace: string | undefined;
  readonly seq: number;
  /** Size of the payload in bytes. */
  readonly bytes: number;
  /** The decoded payload; undefined also when it cannot be read. */
  readonly value: unknown;
}

const ASK_EVERY_MS = 1_000;
const SHOW_FOR_MS = 3_500; // after the last time somebody asked
const NOTHING = new Uint8Array(0);

/**
 * Shows every message of the mesh, answers included, without taking part. Only events are read as they pass: a
 * subscription to the subjects of calls would make the broker believe that somebody serves them, and calls to an
 * instance that is gone would wait for their timeout. So each process copies what it sends while somebody looks on.
 * @returns ends it
 */
export function tap(runtime: Runtime, listener: (message: TappedMessage) => void): () => void {
  const { link, log, subjects } = runtime;
  const show = (envelope: Envelope, subject: string): void => {
    try {
      listener(describe(envelope, subject));
    } catch (error) {
      log.error({ err: error }, "a listener of mesh.tap() failed");
    }
  };
  const receive = (data: Uint8Array, subject: string): void => {
    try {
      readFrame(data, (envelope) => show(envelope, subject));
    } catch (error) {
      noteBadMessage(runtime, error, subject);
    }
  };
  const prefix = subjects.copy("").length;
  const taps = [
    link.subscribe(subjects.event(">"), receive),
    link.subscribe(subjects.copy(">"), (data, subject) => receive(data, subject.slice(prefix))),
  ];
  const ask = (): void => void link.publish(subjects.onlookers, NOTHING);
  ask();
  const timer = setInterval(ask, ASK_EVERY_MS);
  timer.unref();
  return () => {
    clearInterval(timer);
    for (const subscription of taps) subscription.unsubscribe();
  };
}

/** Copies what this process sends for as long as somebody looks on. */
export class Onlookers {
  readonly #runtime: Runtime;
  readonly #events: string;
  #untilMs = -Infinity;

  constructor(runtime: Runtime) {
    const { link, subjects } = runtime;
    this.#runtime = runtime;
    this.#events = subjects.event("");
    link.subscribe(subjects.onlookers, () => {
      this.#untilMs = nowMs() + SHOW_FOR_MS;
    });
  }

  show(subject: string, bytes: Uint8Array): void {
    if (this.#untilMs === -Infinity || subject.startsWith(this.#events)) return;
    const { link, subjects } = this.#runtime;
    if (nowMs() < this.#untilMs) link.publish(subjects.copy(subject), bytes);
    else this.#untilMs = -Infinity;
  }
}

function describe(envelope: Envelope, subject: string): TappedMessage {
  const { id, sender, recipient, name, sentAt, trace, seq, payload } = envelope;
  let value: unknown;
  try {
    value = decodePayload(payload);
  } catch {
    value = undefined;
  }
  const kind = kindName(envelope.kind) ?? String(envelope.kind);
  return {
    subject,
    kind,
    id,
    sender,
    recipient,
    name,
    sentAt,
    trace,
    seq,
    bytes: payload.length,
    value,
  };
}
