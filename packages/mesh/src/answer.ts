import {
  KINDS,
  encodePayload,
  toMeshError,
  type Kind,
  type MeshError,
  type WireError,
} from "@plexus/core";
import { nowUs } from "./clock.ts";
import type { Runtime } from "./runtime.ts";

/** An answer to a request. */
export interface Answer {
  /** Of the request. */
  readonly id: string;
  /** Undefined: nobody wants an answer, and none is sent. */
  readonly reply: string | undefined;
  readonly name: string;
  readonly kind: Kind;
  readonly value: unknown;
  /** See the envelope's field of that name. */
  readonly seq?: number;
}

const MAX_MESSAGE = 1_000; // of an error that is too large to be sent as it is

/**
 * Sends an answer to a request. Falls back to an error that says why when the answer itself cannot be sent.
 * @param load how much the instance has to do
 * @returns why the answer could not be sent
 */
export function sendAnswer(
  runtime: Runtime,
  instance: string,
  load: number,
  { id, reply, name, kind, value, seq = 0 }: Answer,
): MeshError | undefined {
  if (reply === undefined) return undefined;
  const fields = { kind, id, sender: instance, name, sentAt: nowUs(), seq, load };
  try {
    runtime.outbox.add(reply, { ...fields, payload: encodePayload(value) });
    return undefined;
  } catch (cause) {
    const error = toMeshError(cause);
    const { code, message, retryable } =
      kind === KINDS.error
        ? (value as WireError)
        : {
            code: error.code,
            message: `The answer cannot be sent: ${error.message}`,
            retryable: false,
          };
    const payload = encodePayload({ code, message: message.slice(0, MAX_MESSAGE), retryable });
    runtime.outbox.add(reply, { ...fields, kind: KINDS.error, payload });
    return error;
  }
}
