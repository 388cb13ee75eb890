/** What stands in the fleet's record of a deployment. */
export type SharedState =
  | { readonly state: "closed" }
  | { readonly state: "open" }
  /** One process tries whether the provider works again. */
  | { readonly state: "probing"; readonly by: string };

/** What a process knows of that record, and whether it is the one that may try. */
export interface SharedBreaker {
  readonly self: string;
  readonly seen: SharedState;
  /** Of what was seen; 0: nobody has ever written. */
  readonly revision: number;
}

export type BreakerInput =
  /** The record, as somebody wrote it. */
  | { readonly type: "seen"; readonly record: SharedState; readonly revision: number }
  /** This process's own breaker has opened, by its own calls. */
  | { readonly type: "opened" }
  /** It has closed, by a call of its own that succeeded. */
  | { readonly type: "recovered" }
  /** It is half-open, and there is a call that could be the trial: it is, if the write is accepted. */
  | { readonly type: "due" };

export type BreakerEffect =
  /** Write it, if `revision` is still what stands there. What stands there afterwards comes back as "seen". */
  | { readonly type: "write"; readonly record: SharedState; readonly revision: number }
  /** Open the own breaker, or begin its time anew. */
  | { readonly type: "open" }
  | { readonly type: "close" };

const CLOSED: SharedState = { state: "closed" };
const OPEN: SharedState = { state: "open" };

/** What is known before anything was read. */
export function sharedBreaker(self: string): SharedBreaker {
  return { self, seen: CLOSED, revision: 0 };
}

/**
 * How processes share the state of a deployment's breaker. Pure. The record is written by compare-and-set, and everybody counts the
 * time until the next trial from when they saw the last write: no clocks are compared, and of those whose time has come one
 * wins the write that lets it try. So there is at most one trial in any such time, however many processes there are.
 */
export function step(
  now: SharedBreaker,
  input: BreakerInput,
): { readonly next: SharedBreaker; readonly effects: readonly BreakerEffect[] } {
  const write = (record: SharedState) => ({
    next: now,
    effects: [{ type: "write", record, revision: now.revision } as const],
  });
  switch (input.type) {
    case "seen": {
      const { record, revision } = input;
      if (revision <= now.revision) return { next: now, effects: [] };
      const next = { ...now, seen: record, revision };
      if (record.state === "closed") return { next, effects: [{ type: "close" }] };
      return mayTry(next) ? { next, effects: [] } : { next, effects: [{ type: "open" }] };
    }
    case "opened":
      // Somebody else's trial goes on; whatever it comes to says more than what opened this one.
      return now.seen.state === "closed" || mayTry(now) ? write(OPEN) : { next: now, effects: [] };
    case "recovered":
      return now.seen.state === "closed" ? { next: now, effects: [] } : write(CLOSED);
    default:
      // Each time anew: a right to try that was not used at once may have passed to somebody else meanwhile.
      return write({ state: "probing", by: now.self });
  }
}

/** True if the trial is this process's. */
function mayTry({ seen, self }: SharedBreaker): boolean {
  return seen.state === "probing" && seen.by === self;
}
