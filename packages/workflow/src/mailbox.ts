import type { RunState } from "./run.ts";

const MAX_MAIL = 1_000;

/** Keeps an event that nobody waits for yet. False if too many of its name are kept already. */
export function keepMail({ mailbox }: RunState, name: string, value: unknown): boolean {
  if (!Object.hasOwn(mailbox, name)) mailbox[name] = [];
  const mail = mailbox[name]!;
  if (mail.length >= MAX_MAIL) return false;
  mail.push(value);
  return true;
}

/** Takes the oldest event of that name out, if one is kept. */
export function takeMail({ mailbox }: RunState, name: string): { value: unknown } | undefined {
  if (!Object.hasOwn(mailbox, name)) return undefined;
  const mail = mailbox[name]!;
  const value = mail.shift();
  if (mail.length === 0) delete mailbox[name];
  return { value };
}
