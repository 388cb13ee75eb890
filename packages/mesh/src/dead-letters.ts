import { setTimeout as sleep } from "node:timers/promises";
import { MeshError, isMeshError } from "@plexus/core";
import { nowMs } from "./clock.ts";
import {
  describeLetter,
  firstAttempt,
  letterHeaders,
  originOf,
  summarize,
  type DeadLetter,
  type DeadLetterReport,
} from "./dead-letter.ts";
import { checkListOptions, type ListOptions } from "./list-options.ts";
import { isNoStream } from "./nats/jetstream-error.ts";
import type { StoredMessage } from "./nats/stored-message.ts";
import { newest } from "./nats/newest.ts";
import { newId } from "./runtime.ts";
import type { TaskHandle } from "./task-handle.ts";
import { RECHECK, RETRY, finalState, readEnvelope } from "./task-message.ts";
import type { TaskServices } from "./task-services.ts";

const ACKNOWLEDGED_MS = 5_000; // if its host dies before, the next one does it after the ackWait
const LOOK_AGAIN_MS = 20;
const QUEUE_MS = 30_000; // for the broker to take a task back

/** The tasks that have failed for good, until somebody decides on them. */
export class DeadLetters {
  readonly #services: TaskServices;
  readonly #open: (id: string) => TaskHandle;

  constructor(services: TaskServices, open: (id: string) => TaskHandle) {
    this.#services = services;
    this.#open = open;
  }

  /** The newest of them, oldest first. */
  async list(options: ListOptions = {}): Promise<DeadLetter[]> {
    const { runtime, js, store } = this.#services;
    const { agent, capability, limit, signal } = checkListOptions(options);
    const letters = await newest(js, store.dead, {
      subject: runtime.subjects.dead(agent, capability, ">"), // those that are being retried, too
      limit,
      pick: summarize,
      signal,
    });
    return [...new Map(letters.map((letter) => [letter.id, letter])).values()];
  }

  /** One of them with its input and history. Rejects with `NO_TASK` when there is none of that id. */
  async get(id: string): Promise<DeadLetterReport> {
    return describeLetter(await this.#find(id));
  }

  /**
   * Puts the task back on the queue, to be executed from its first attempt on; effects that were recorded stay recorded.
   * Rejects with `NO_TASK`; with `CONFLICT` when it is queued already or has ended otherwise meanwhile.
   *
   * Between any two of its steps this process may die, and somebody else may do the same, so the order is:
   *
   * 1. The letter is copied aside. From now on its own subject can be freed, for the letter that the task may become again.
   * 2. The letter is removed, by its sequence: of several who retry it, one goes on.
   * 3. The failed result is removed, by its sequence: never a newer one. As long as it is there, whoever is
   *    given the task takes it for done, so it has to go before the task is queued.
   * 4. The task is queued, if none of its id is. It is marked, so that whoever executes it looks for a result first: should
   *    it have been executed meanwhile (another retry, another submission with its key), it is dropped.
   * 5. The copy is removed.
   *
   * Until 4 the letter or its copy is there and the task not queued: the retry is repeated, and begins where it was broken
   * off. After 4 the task is queued, and a copy left behind does no harm: a retry of it is refused while the task is
   * queued, and once it has succeeded.
   */
  async retry(id: string): Promise<TaskHandle> {
    const { runtime, js, store } = this.#services;
    const handle = this.#open(id);
    const letter = await this.#find(id);
    const { agent, capability } = summarize(letter);
    const own = runtime.subjects.dead(agent, capability, id);
    if (await this.#stillQueued(id)) throw queuedAlready(id);
    const result = await store.result(id);
    const state = result && finalState(readEnvelope(result.data));
    if (state === "completed" || state === "canceled") {
      await this.discard(id);
      const text = `Task ${id} has ended as ${state} meanwhile; its dead letter is removed.`;
      throw new MeshError("CONFLICT", text, { retryable: false });
    }
    const origin = originOf(letter);
    if (!origin.startsWith(runtime.subjects.task(agent, capability, "", "", "").slice(0, -2))) {
      throw new MeshError("BAD_MESSAGE", `Dead letter ${id} does not tell where it was queued.`);
    }

    let copied = letter.sequence;
    if (letter.subject === own) {
      const aside = `${own}.${newId()}`;
      copied = await js.publish(aside, letter.data, { headers: letterHeaders(letter) }); // 1
      if ((await js.purge(store.dead, own, letter.sequence)) === 0) {
        // 2
        await js.purge(store.dead, aside);
        throw takenAlready(id);
      }
    }
    if (result && (await js.purge(store.results, result.subject, result.sequence)) === 0) {
      // 3
      throw takenAlready(id);
    }
    await this.#queue(id, origin, letter); // 4
    await js.purge(store.dead, `${own}.*`, copied); // 5
    return handle;
  }

  /** Removes it for good; that the task has failed stays recorded. Rejects with `NO_TASK` when there is none of that id. */
  async discard(id: string): Promise<void> {
    const { runtime, js, store } = this.#services;
    this.#open(id);
    const own = runtime.subjects.dead("*", "*", id);
    try {
      const aside = await js.purge(store.dead, `${own}.*`);
      if (aside + (await js.purge(store.dead, own)) > 0) return;
    } catch (error) {
      if (!isNoStream(error)) throw error;
    }
    throw noLetter(id);
  }

  /** The letter itself; else the copy that a retry has left behind. */
  async #find(id: string): Promise<StoredMessage> {
    const { runtime, js, store } = this.#services;
    this.#open(id); // refuses what is no id, and so what has wildcards in it
    const own = runtime.subjects.dead("*", "*", id);
    try {
      const letter = (await js.last(store.dead, own)) ?? (await js.last(store.dead, `${own}.*`));
      if (letter) return letter;
    } catch (error) {
      if (!isNoStream(error)) throw error;
    }
    throw noLetter(id);
  }

  /** Waits a moment for a task that has ended: who recorded that acknowledges it next. */
  async #stillQueued(id: string): Promise<boolean> {
    const { store } = this.#services;
    const untilMs = nowMs() + ACKNOWLEDGED_MS;
    // Asked again until it is clear.
    while (await store.queued(id)) {
      if (nowMs() > untilMs || !(await store.result(id))) return true;
      await sleep(LOOK_AGAIN_MS);
    }
    return false;
  }

  async #queue(id: string, origin: string, letter: StoredMessage): Promise<void> {
    const { runtime, js, store } = this.#services;
    const bytes = Uint8Array.from(firstAttempt(letter));
    const policy = letter.header(RETRY);
    const headers = { [RECHECK]: "1", ...(policy === undefined ? {} : { [RETRY]: policy }) };
    const expect = { sequence: 0, subject: runtime.subjects.task("*", "*", "*", "*", id) };
    try {
      const write = (): Promise<number> => js.publish(origin, bytes, { expect, headers });
      await this.#services.surely(write, nowMs() + QUEUE_MS);
    } catch (error) {
      if (!isMeshError(error, "CONFLICT")) throw error;
      const queued = await store.queued(id); // our own, if only the answer was lost
      if (queued === undefined || !Buffer.from(queued.data).equals(bytes)) throw queuedAlready(id);
    }
  }
}

function noLetter(id: string): MeshError {
  return new MeshError("NO_TASK", `There is no dead letter ${id}.`);
}

function queuedAlready(id: string): MeshError {
  return new MeshError("CONFLICT", `Task ${id} is queued already.`, { retryable: false });
}

function takenAlready(id: string): MeshError {
  return new MeshError(
    "CONFLICT",
    `Somebody else has decided on dead letter ${id} at the same time.`,
  );
}
