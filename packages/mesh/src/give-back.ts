import { setTimeout as sleep } from "node:timers/promises";
import type { Delivered } from "./nats/feed.ts";
import type { TaskServices } from "./task-services.ts";

export const NAK = Buffer.from("-NAK");
export const NAK_LATER = Buffer.from('-NAK {"delay":1000000000}'); // what failed at once would fail at once again

const NOTHING = new Uint8Array(0);
const NOTE = "@back-"; // no escaped name of an effect contains an `@`
const NOTE_MS = 250; // less than the shortest ackWait: later, somebody else may have the task

/**
 * Gives a delivered task back to its queue, unexecuted. The broker counts the delivery nevertheless, so a note is left
 * that it was none: whoever judges whether the task keeps losing its instance subtracts it.
 */
export async function giveBack(
  services: TaskServices,
  delivered: Delivered,
  answer: Uint8Array = NAK,
): Promise<void> {
  const { js, runtime } = services;
  const noted = js
    .publish(noteSubject(services, delivered, delivered.deliveries), NOTHING)
    .catch(() => undefined); // then it counts
  await Promise.race([noted, sleep(NOTE_MS)]);
  runtime.link.publish(delivered.ack, answer);
}

/** True if the delivery before this one was given back; otherwise its instance was lost or fell silent. */
export async function wasGivenBack(services: TaskServices, delivered: Delivered): Promise<boolean> {
  const { js, store } = services;
  const subject = noteSubject(services, delivered, delivered.deliveries - 1);
  return (await services.surely(() => js.last(store.effects, subject))) !== undefined;
}

/** How many deliveries of a queued message were given back. */
export async function timesGivenBack(
  services: TaskServices,
  delivered: Delivered,
): Promise<number> {
  const { js, store, runtime } = services;
  const all = runtime.subjects.effect(taskId(delivered), "*");
  const subjects = await services.surely(() => js.subjects(store.effects, all));
  const own = runtime.subjects.effect(taskId(delivered), `${NOTE}${delivered.sequence}-`);
  return subjects.filter((subject) => subject.startsWith(own)).length;
}

/** The id of a task is the last part of its subject. */
export function taskId({ subject }: Delivered): string {
  return subject.slice(subject.lastIndexOf(".") + 1);
}

function noteSubject({ runtime }: TaskServices, delivered: Delivered, delivery: number): string {
  return runtime.subjects.effect(taskId(delivered), `${NOTE}${delivered.sequence}-${delivery}`);
}
