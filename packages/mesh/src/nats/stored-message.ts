import type { Headers } from "./link.ts";

/** A message as a stream holds it. */
export interface StoredMessage {
  readonly subject: string;
  readonly sequence: number;
  readonly data: Uint8Array;
  /** When it was stored, by the broker's clock: milliseconds since the epoch. */
  readonly storedAt: number;
  /** The same to the nanosecond, written so that texts compare as the times do. */
  readonly time: string;
  header(name: string): string | undefined;
}

/** A message as the JetStream API writes it. */
export interface ApiMessage {
  readonly subject: string;
  readonly seq: number;
  readonly hdrs?: string;
  readonly data?: string;
  readonly time: string;
}

/** Reads what the API answers: base64 in JSON. */
export function stored({ subject, seq, hdrs, data, time }: ApiMessage): StoredMessage {
  const lines = hdrs === undefined ? [] : Buffer.from(hdrs, "base64").toString().split("\r\n");
  return {
    subject,
    sequence: seq,
    data: Buffer.from(data ?? "", "base64"),
    storedAt: Date.parse(time),
    get time() {
      return sortable(time);
    },
    header: (name) => {
      const line = lines.find((one) => one.startsWith(`${name}:`));
      return line?.slice(name.length + 1).trim();
    },
  };
}

/** Reads what a direct answer holds: the message itself, and where it stands in headers. */
export function direct(data: Uint8Array, headers: Headers): StoredMessage {
  const time = headers.last("Nats-Time-Stamp");
  return {
    subject: headers.last("Nats-Subject"),
    sequence: Number(headers.last("Nats-Sequence")),
    data,
    storedAt: Date.parse(time),
    get time() {
      return sortable(time);
    },
    header: (name) => headers.get(name) || undefined,
  };
}

/** Gives a broker's time, which is in UTC and without trailing zeros, all nine digits of its fraction. */
function sortable(time: string): string {
  const [seconds = "", fraction = ""] = time.replace("Z", "").split(".");
  return `${seconds}.${fraction.padEnd(9, "0")}`;
}
