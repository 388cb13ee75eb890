import { KINDS, MeshError, encodePayload, fromWireError, token, type Envelope } from "@plexus/core";
import { nowMs } from "./clock.ts";
import { controlFields, type ControlVerb } from "./control.ts";
import type { Pending } from "./inbox.ts";
import { newId, type Runtime } from "./runtime.ts";

/**
 * Sends a control request to one instance and resolves with its answer. Rejects with `NO_AGENT` when the broker knows
 * nobody of that id, `TIMEOUT` when it stays silent.
 * @param details what the verb needs to be told
 */
export function ask(
  runtime: Runtime,
  instance: string,
  verb: ControlVerb,
  timeoutMs: number,
  details?: unknown,
): Promise<unknown> {
  const subject = runtime.subjects.control(token("Instance", instance));
  return new Promise((resolve, reject) => {
    const end = (outcome: () => void): void => {
      runtime.inbox.delete(pending.id);
      outcome();
    };
    const gone = (): void =>
      end(() => reject(new MeshError("NO_AGENT", `No live instance ${instance} is in the mesh.`)));
    const pending: Pending = {
      id: newId(),
      frame: undefined,
      target: instance,
      deadlineMs: nowMs() + timeoutMs,
      answer: (envelope: Envelope) =>
        end(() => {
          try {
            const value = envelope.value;
            if (envelope.kind === KINDS.error) reject(fromWireError(value));
            else resolve(value);
          } catch (error) {
            reject(error);
          }
        }),
      notDelivered: gone,
      lost: (why) => {
        if (why === "instance") gone();
        else
          end(() =>
            reject(
              new MeshError("NOT_CONNECTED", `The connection broke before ${verb} was answered.`),
            ),
          );
      },
      timeout: () =>
        end(() => reject(new MeshError("TIMEOUT", `Instance ${instance} did not answer ${verb}.`))),
    };
    const fields = controlFields(runtime, verb, pending.id);
    runtime.inbox.add(pending);
    pending.frame = runtime.outbox.add(
      subject,
      details === undefined ? fields : { ...fields, payload: encodePayload(details) },
      runtime.inbox.nextReply,
    );
  });
}
