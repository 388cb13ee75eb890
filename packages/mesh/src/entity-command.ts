import { MeshError, encodePayload, type Envelope } from "@plexus/core";

/** A command on its way: as a request to the owner of its partition, or stored until it is executed. */
export interface SentCommand {
  /** The same however often it is sent. */
  readonly id: string;
  /** Executed after this durable command of its partition; 0: after none in particular. */
  readonly after: number;
  /** Encoded on its own. Absent in a question for the outcome of a command that was sent before. */
  readonly input?: Uint8Array;
}

const MAX_ID = 256;
const MAX_KEY = 1_024;

/** An input as it travels. Throws `UNENCODABLE`. */
export function encodeInput(input: unknown): Uint8Array {
  return Buffer.from(encodePayload(input)); // the encoder's own bytes do not outlast the next call
}

/** The payload of a command. */
export function commandPayload({ id, after, input }: SentCommand): Uint8Array {
  return Buffer.from(encodePayload(input === undefined ? [id, after] : [id, after, input]));
}

/** Throws `BAD_MESSAGE`. */
export function readSentCommand(envelope: Envelope): SentCommand {
  const { value } = envelope;
  if (Array.isArray(value)) {
    const [id, after, input] = value as [unknown, unknown, unknown];
    if (typeof id === "string" && typeof after === "number") {
      if (value.length === 2) return { id, after };
      if (input instanceof Uint8Array) return { id, after, input };
    }
  }
  throw new MeshError("BAD_MESSAGE", "Not a command: its payload is not [id, after, input].");
}

/** Returns the key if it can be one: well-formed text of up to 1,024 characters. Throws `INVALID_INPUT`. */
export function demandKey(key: string): string {
  if (typeof key === "string" && key.length <= MAX_KEY && key.isWellFormed()) return key;
  throw new MeshError("INVALID_INPUT", `A key is a text of at most ${MAX_KEY} characters.`);
}

/** Returns the id if it can be one: well-formed text of 1 to 256 characters. Throws `INVALID_INPUT`. */
export function demandCommandId(id: string): string {
  if (typeof id === "string" && id !== "" && id.length <= MAX_ID && id.isWellFormed()) return id;
  throw new MeshError(
    "INVALID_INPUT",
    `The id of a command is a text of 1 to ${MAX_ID} characters.`,
  );
}
