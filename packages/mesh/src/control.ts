import { KINDS, type EnvelopeFields } from "@plexus/core";
import { nowUs } from "./clock.ts";
import type { Runtime } from "./runtime.ts";

/** What a control message asks of an instance; carried as the envelope's name. */
export type ControlVerb = "cancel" | "credit" | "describe" | "drain" | "missing" | "ping";

const NOTHING = new Uint8Array(0);

/**
 * Sends a control message about the request `id`. At most once: a lost cancel is healed by the deadline, a lost credit
 * by the stream's own.
 * @param seq credit to grant
 */
export function sendControl(
  runtime: Runtime,
  instance: string,
  verb: ControlVerb,
  id: string,
  seq = 0,
): void {
  if (!runtime.link.connected) return;
  runtime.outbox.add(runtime.subjects.control(instance), controlFields(runtime, verb, id, seq));
}

/** The envelope of a control message. */
export function controlFields(
  runtime: Runtime,
  verb: ControlVerb | "heartbeat" | "find" | "lane" | "lost",
  id: string,
  seq = 0,
): EnvelopeFields {
  return {
    kind: KINDS.control,
    id,
    sender: runtime.client,
    name: verb,
    sentAt: nowUs(),
    payload: NOTHING,
    seq,
  };
}
