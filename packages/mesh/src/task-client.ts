import {
  KINDS,
  MeshError,
  encodePayload,
  isMeshError,
  type Agent,
  type Capability,
} from "@plexus/core";
import { nowMs, nowUs } from "./clock.ts";
import { explain } from "./route.ts";
import { Handle, type HandleOwner } from "./task-handle.ts";
import { envelopeBytes, readEnvelope, submitterOf } from "./task-message.ts";
import { TaskPlacement } from "./task-placement.ts";
import type { RunReport } from "./task-run.ts";
import type { TaskServices } from "./task-services.ts";
import { endedStatus, isDueLater, queuedStatus, type TaskStatus } from "./task-status.ts";
import { TaskSubmitter, type SubmitOptions } from "./task-submitter.ts";
import { TaskWatch, noTask } from "./task-watch.ts";

const CANCEL_TIMEOUT_MS = 30_000;

/** The submitting side of durable work. */
export class TaskClient {
  readonly #services: TaskServices;
  /** Asks all processes which of them works on a task. */
  readonly #find: (id: string) => Promise<RunReport | undefined>;
  readonly #placement: TaskPlacement;
  readonly #watch: TaskWatch;
  readonly #submitter: TaskSubmitter;

  constructor(services: TaskServices, find: (id: string) => Promise<RunReport | undefined>) {
    this.#services = services;
    this.#find = find;
    this.#placement = new TaskPlacement(services.runtime);
    this.#watch = new TaskWatch(services, (id, result) => this.#placement.remove(id, result));
    this.#submitter = new TaskSubmitter(services, this.#placement, this.#watch);
  }

  async submit(
    contract: Agent,
    name: string,
    input: unknown,
    options: SubmitOptions,
  ): Promise<Handle> {
    const { id, capability, fresh } = await this.#submitter.submit(contract, name, input, options);
    return new Handle(this.#owner(capability), id, fresh);
  }

  /** A task submitted by anyone, any time. */
  open(id: string): Handle {
    if (!/^[0-9A-HJKMNP-TV-Z]{26}$/.test(id)) {
      throw new MeshError("NO_TASK", `${JSON.stringify(id)} is not the id of a task.`);
    }
    return new Handle(this.#owner(undefined), id, false);
  }

  /** After a reconnection: news may have been missed. */
  restored(): void {
    this.#watch.restored();
  }

  close(): void {
    this.#placement.close();
    this.#watch.close();
  }

  #owner(capability: Capability | undefined): HandleOwner {
    return {
      status: (id) => this.#status(id),
      cancel: (id) => this.#cancel(id),
      listen: (id, listener, options) => this.#watch.listen(id, listener, options),
      parse: (value) => {
        const parsed = capability?.output.safeParse(value);
        if (parsed === undefined) return value;
        if (parsed.success) return parsed.data;
        throw new MeshError("INVALID_OUTPUT", `The recorded result: ${explain(parsed.error)}`, {
          details: parsed.error.issues,
        });
      },
    };
  }

  async #status(id: string): Promise<TaskStatus> {
    const { store } = this.#services;
    const found = await store.find(id);
    if (found === undefined) throw noTask(id);
    if ("result" in found) return endedStatus(found.result);
    const { queued } = found;
    return queuedStatus(queued, isDueLater(queued) ? undefined : await this.#find(id));
  }

  /** Records that it was canceled, if nothing is recorded yet; then nobody can record anything else. */
  async #cancel(id: string): Promise<boolean> {
    const { runtime, js, store } = this.#services;
    const found = await store.find(id);
    if (found === undefined) throw noTask(id);
    if ("result" in found) return false;
    const { queued } = found;
    const [, , agent = "", capability = ""] = queued.subject.split(".");
    const task = readEnvelope(queued.data);
    const sender = submitterOf(task);
    const fields = {
      kind: KINDS.error,
      id,
      sender: runtime.client,
      recipient: sender ?? "unknown",
      name: `${agent}.${capability}`,
      sentAt: nowUs(),
      payload: encodePayload(new MeshError("CANCELED", `Canceled by ${runtime.client}.`).toJSON()),
      seq: task.seq,
    };
    const bytes = Uint8Array.from(envelopeBytes(fields));
    const { subjects } = runtime;
    try {
      await this.#services.surely(
        () => js.publish(subjects.done(id), bytes),
        nowMs() + CANCEL_TIMEOUT_MS,
      );
    } catch (error) {
      if (!isMeshError(error, "CONFLICT")) throw error;
      const recorded = await store.certainly(store.results, subjects.done(id));
      if (recorded === undefined) return this.#cancel(id); // refused for an attempt that was never stored
      if (!Buffer.from(recorded.data).equals(bytes)) return false;
    }
    const control = { ...fields, kind: KINDS.control, name: "cancel", payload: new Uint8Array(0) };
    runtime.outbox.add(subjects.taskControl("cancel"), control);
    if (sender !== undefined) {
      const { payload } = readEnvelope(bytes);
      runtime.outbox.add(subjects.taskEvents(sender), { ...fields, payload });
    }
    await store.dequeue(id);
    return true;
  }
}
