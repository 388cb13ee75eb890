import { decodePayload, kindName, readFrame, type Envelope } from "@plexus/core";
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

/**
 * Shows every message of the mesh as it passes, answers included, without taking part.
 * @returns ends it
 */
export function tap(runtime: Runtime, listener: (message: TappedMessage) => void): () => void {
  const { link, subjects } = runtime;
  const receive = (data: Uint8Array, subject: string): void => {
    if (data.length === 0) return;
    try {
      readFrame(data, (envelope) => listener(describe(envelope, subject)));
    } catch (error) {
      noteBadMessage(runtime, error, subject);
    }
  };
  const taps = [`${subjects.mesh}.>`, `${subjects.inbox("*")}.>`].map((subject) =>
    link.subscribe(subject, receive),
  );
  return () => {
    for (const subscription of taps) subscription.unsubscribe();
  };
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
