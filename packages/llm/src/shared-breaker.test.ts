import { seededRandom } from "@plexus/testing";
import { describe, expect, test } from "vitest";
import {
  sharedBreaker,
  step,
  type BreakerInput,
  type SharedBreaker,
  type SharedState,
} from "./shared-breaker.ts";

const open = { state: "open" } as const;
const closed = { state: "closed" } as const;
const a = sharedBreaker("a");

const seen = (record: SharedState, revision: number) =>
  ({ type: "seen", record, revision }) as const;

describe("a process that shares a breaker", () => {
  test("tells the fleet when its own has opened, once", () => {
    expect(step(a, { type: "opened" }).effects).toEqual([
      { type: "write", record: open, revision: 0 },
    ]);
    const told = step(a, seen(open, 1)).next;
    expect(step(told, { type: "opened" }).effects).toEqual([]);
  });

  test("opens, closes and begins its time anew as the fleet tells", () => {
    const opened = step(a, seen(open, 1));
    expect(opened.effects).toEqual([{ type: "open" }]);
    const other = step(opened.next, seen({ state: "probing", by: "b" }, 2));
    expect(other.effects).toEqual([{ type: "open" }]);
    expect(step(other.next, seen(closed, 3)).effects).toEqual([{ type: "close" }]);
  });

  test("does not believe what is older than what it knows", () => {
    const { next } = step(a, seen(closed, 5));
    expect(step(next, seen(open, 4))).toEqual({ next, effects: [] });
  });

  test("tries only with its name in the record", () => {
    const { next } = step(a, seen(open, 1));
    const mine = { state: "probing", by: "a" } as const;
    expect(step(next, { type: "due" }).effects).toEqual([
      { type: "write", record: mine, revision: 1 },
    ]);
    const won = step(next, seen(mine, 2)).next;
    expect(step(won, { type: "due" }).effects).toEqual([
      { type: "write", record: mine, revision: 2 },
    ]);
    expect(step(won, { type: "recovered" }).effects).toEqual([
      { type: "write", record: closed, revision: 2 },
    ]);
    expect(step(won, { type: "opened" }).effects).toEqual([
      { type: "write", record: open, revision: 2 },
    ]);
  });
});

/* A fleet on one record: notices arrive late and are lost, processes die, the provider is down for a while. */

const RESET = 100;
const END = 5_000;

interface Process {
  machine: SharedBreaker;
  /** Of its own breaker. */
  openedAt: number;
  state: "closed" | "open" | "half-open";
  probeEndsAt: number | undefined;
}

function simulate(seed: number): { trials: number[]; closedAt: number | undefined } {
  const random = seededRandom(seed);
  const count = 2 + Math.floor(random() * 6);
  let record: { value: SharedState; revision: number } | undefined;
  let mail: { at: number; to: number; value: SharedState; revision: number }[] = [];
  const trials: number[] = [];
  const worksAt = 1_000 + random() * 2_000;
  let closedAt: number | undefined;
  const processes: Process[] = Array.from({ length: count }, (_, i) => ({
    machine: sharedBreaker(`p${i}`),
    openedAt: 0,
    state: "closed",
    probeEndsAt: undefined,
  }));

  /** True if what it wrote was accepted. */
  const input = (i: number, what: BreakerInput, now: number): boolean => {
    let accepted = false;
    const own = processes[i]!;
    const { next, effects } = step(own.machine, what);
    own.machine = next;
    for (const effect of effects) {
      if (effect.type === "open") [own.state, own.openedAt] = ["open", now];
      else if (effect.type === "close") own.state = "closed";
      else if (effect.revision !== (record?.revision ?? 0)) {
        if (record) input(i, seen(record.value, record.revision), now);
      } else {
        accepted = true;
        record = { value: effect.record, revision: effect.revision + 1 };
        own.machine = { ...own.machine, seen: record.value, revision: record.revision };
        for (let to = 0; to < count; to++) {
          if (to === i || random() < 0.2) continue; // lost
          mail.push({ at: now + random() * 30, to, ...record });
        }
        if (effect.record.state === "closed") closedAt ??= now;
      }
    }
    return accepted;
  };

  for (let now = 0; now < END; now += 1) {
    const due = mail.filter(({ at }) => at <= now);
    mail = mail.filter(({ at }) => at > now);
    for (const { to, value, revision } of due) input(to, seen(value, revision), now);
    for (const [i, own] of processes.entries()) {
      if (random() < 0.000_5) {
        // It dies, and another one starts in its place and reads the record.
        Object.assign(own, {
          machine: sharedBreaker(`p${i}-${now}`),
          state: "closed",
          probeEndsAt: undefined,
        });
        if (record) input(i, seen(record.value, record.revision), now);
      }
      if (own.state === "open" && now - own.openedAt >= RESET) own.state = "half-open";
      if (own.probeEndsAt !== undefined && now >= own.probeEndsAt) {
        own.probeEndsAt = undefined;
        if (now >= worksAt) {
          own.state = "closed";
          input(i, { type: "recovered" }, now);
        } else {
          [own.state, own.openedAt] = ["open", now];
          input(i, { type: "opened" }, now);
        }
      }
      if (random() < 0.2 && own.probeEndsAt === undefined) {
        if (own.state === "half-open") {
          const mine = input(i, { type: "due" }, now);
          // Some have second thoughts: their budget is used up, say.
          if (mine && random() < 0.8) {
            trials.push(now);
            own.probeEndsAt = now + random() * 50;
          }
        } else if (own.state === "closed" && now < worksAt && random() < 0.2) {
          [own.state, own.openedAt] = ["open", now]; // five of its own calls have failed
          input(i, { type: "opened" }, now);
        }
      }
    }
  }
  return { trials, closedAt };
}

test("a fleet makes at most one trial per reset time, whatever is lost and whoever dies, and recovers (2,000 schedules)", () => {
  let made = 0;
  for (let seed = 1; seed <= 2_000; seed++) {
    const { trials, closedAt } = simulate(seed);
    made += trials.length;
    const gaps = trials.slice(1).map((at, i) => at - trials[i]!);
    expect({ seed, gap: Math.min(RESET, ...gaps) }).toEqual({ seed, gap: RESET });
    expect({ seed, closed: closedAt !== undefined }).toEqual({ seed, closed: true });
  }
  expect(made).toBeGreaterThan(20_000);
});
