import { note } from "./output.ts";

const EVERY_MS = 500;

/** Tells on stderr, now and then, how far something is: a line for a person, or an object for a program. */
export function progressNote(
  what: string,
  json: boolean | undefined,
): (progress: { readonly events: number; readonly done: number; readonly of: number }) => void {
  let toldMs = performance.now(); // nobody needs to be told of what is over at once
  return ({ events, done, of }) => {
    const now = performance.now();
    if (now - toldMs < EVERY_MS) return;
    toldMs = now;
    const percent = of === 0 ? 100 : Math.floor((100 * done) / of);
    note(
      json
        ? JSON.stringify({ [what]: { events, percent } })
        : `${what}: ${events} events, ${percent} %`,
    );
  };
}
