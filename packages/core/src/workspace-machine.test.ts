import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Workspaces } from "./workspace-contract.ts";
import { demandCommit } from "./workspace-demand.ts";
import {
  clashesOf,
  conflictAt,
  conflictId,
  deciderOf,
  judge,
  rebased,
  settle,
  staleOf,
  type Evidence,
  type Verdict,
} from "./workspace-machine.ts";
import type {
  CommitRequest,
  Committed,
  OpenConflict,
  StrategyRule,
  WorkspaceState,
} from "./workspace-model.ts";
import { filesOf, findFile } from "./workspace-tree.ts";

const content = (n: number): string => String(n).padStart(43, "h");

/** A workspace without a broker: its history in memory, and evidence found in it as the owner does. */
class Desk {
  state: WorkspaceState = Workspaces.initial("desk");
  readonly history: Committed[] = [];
  /** The commit of each record, by its sequence; undefined for records without one. */
  readonly records = new Map<number, Committed | undefined>();
  at = 0;

  get head(): number {
    return this.state.head;
  }

  commit(request: Partial<CommitRequest>): Verdict {
    const whole = {
      id: `c${this.at}`,
      by: "ada",
      message: "",
      writes: [],
      reads: [],
      parents: [],
      ...request,
    };
    demandCommit(this.state, whole);
    const stale = staleOf(this.state, whole);
    const parents = new Set(whole.parents);
    const evidence = new Map(
      stale.map(({ path, base }) => [path, this.#evidence(path, base, parents)]),
    );
    const verdict = judge(this.state, whole, this.at, clashesOf(stale, evidence));
    this.record(verdict);
    return verdict;
  }

  /** What whoever reads the journal finds there: the next record after a sequence. */
  after(at: number): Committed | undefined {
    const sequence = [...this.records.keys()].find((one) => one > at);
    return sequence === undefined ? undefined : this.records.get(sequence);
  }

  /** Something is recorded that is no commit. */
  vote(): void {
    const event = { id: "none", by: "ada", ranking: ["ours" as const], at: this.at };
    this.state = Workspaces.fold.ballot_cast(this.state, event);
    this.#next(undefined);
  }

  record({ events }: Verdict): void {
    if (events.length === 0) return;
    let commit: Committed | undefined;
    for (const [name, data] of events) {
      const parsed = Workspaces.events[name].parse(data);
      this.state = Workspaces.fold[name](this.state, parsed as never);
      if (name === "committed") this.history.push((commit = data));
    }
    this.#next(commit);
  }

  #next(commit: Committed | undefined): void {
    this.at += 3; // records of others lie between
    this.records.set(this.at, commit);
  }

  #evidence(path: string, base: number, parents: ReadonlySet<number>): Evidence {
    const own = this.history.filter(({ changes }) => changes.some((one) => one.path === path));
    const since = own.filter(({ version }) => version > base);
    const commits = since
      .filter((one) => !parents.has(one.version))
      .map(({ version: at, id, by, message }) => ({ version: at, id, by, message }))
      .toReversed();
    const { version, hash, size } = since[0]!.changes.find((one) => one.path === path)!.before;
    return { base: { version, size, ...(hash === undefined ? {} : { hash }) }, commits };
  }
}

const write = (path: string, base: number, n = 1) => ({ path, base, hash: content(n), size: n });
const removal = (path: string, base: number) => ({ path, base, size: 0 });

describe("a commit", () => {
  test("on what it has seen is made, and names what stood there", () => {
    const desk = new Desk();
    desk.commit({ writes: [write("a", 0, 1)] });
    const { outcome, events } = desk.commit({ writes: [write("a", 1, 2)] });
    expect(outcome).toBe("committed");
    expect(events).toMatchObject([
      [
        "committed",
        { version: 2, previous: 2, at: 3, changes: [{ before: { version: 1, at: 2 } }] },
      ],
    ]);
  });

  test.each([
    ["write/write", [write("a", 1)], [write("a", 1, 2)], []],
    ["write/delete", [removal("a", 1)], [write("a", 1, 2)], []],
    ["delete/write", [write("a", 1)], [removal("a", 1)], []],
    ["add/add", [write("b", 1)], [write("b", 1, 2)], []],
    ["read/write", [write("a", 1)], [write("c", 1)], [{ path: "a", base: 1 }]],
  ])("that meets a commit it has not seen is refused: %s", (kind, theirs, ours, reads) => {
    const desk = new Desk();
    desk.commit({ writes: [write("a", 0)] });
    desk.commit({ by: "bob", writes: theirs });
    const { outcome, events } = desk.commit({ writes: ours, reads });
    expect(outcome).toBe("rejected");
    expect(events).toMatchObject([
      [
        "conflict_detected",
        { open: false, clashes: [{ kind, theirs: { commits: [{ by: "bob" }] } }] },
      ],
      ["conflict_resolved", { outcome: "rejected", decisions: [{ winner: "theirs" }] }],
    ]);
    expect(desk.head).toBe(2);
  });

  test("is in conflict with one that put the same there: two that count would else count once", () => {
    const desk = new Desk();
    desk.commit({ writes: [write("count", 0, 1)] });
    expect(desk.commit({ writes: [write("count", 0, 1)] }).outcome).toBe("rejected");
  });

  test("that has taken the newer commits into account is made", () => {
    const desk = new Desk();
    desk.commit({ writes: [write("a", 0)] });
    desk.commit({ writes: [write("a", 1, 2)] });
    desk.commit({ writes: [write("a", 2, 3)] });
    expect(desk.commit({ writes: [write("a", 1, 4)], parents: [2] }).outcome).toBe("rejected");
    expect(desk.commit({ writes: [write("a", 1, 4)], parents: [2, 3] }).outcome).toBe("committed");
  });

  test("sees that a file was removed and made again, although it looks the same", () => {
    const desk = new Desk();
    desk.commit({ writes: [write("a", 0)] });
    desk.commit({ writes: [removal("a", 1)] });
    desk.commit({ writes: [write("a", 2)] });
    expect(desk.commit({ writes: [write("a", 1, 2)] }).outcome).toBe("rejected");
    expect(desk.commit({ writes: [write("b", 3)], reads: [{ path: "a", base: 1 }] }).outcome).toBe(
      "rejected",
    );
  });

  test.each([
    ["a base that does not exist", { writes: [write("a", 7)] }],
    ["a parent that does not exist", { writes: [write("a", 0)], parents: [9] }],
    ["a path twice", { writes: [write("x", 0), write("x", 0, 2)] }],
    ["a path that leaves the tree", { writes: [write("../x", 0)] }],
    ["a path that is not in normal form", { writes: [write("u\u0308", 0)] }],
    ["a read of no path", { writes: [write("x", 0)], reads: [{ path: "/", base: 0 }] }],
    ["a file that is a directory", { writes: [write("dir", 0)] }],
    ["a directory that is a file", { writes: [write("dir/a/b", 0)] }],
    ["both in one", { writes: [write("x", 0), write("x/y", 0)] }],
    ["another case of a path", { writes: [write("DIR/A", 0)] }],
    ["two cases of a path", { writes: [write("x", 0), write("X", 0)] }],
  ])("with %s makes no sense", (_what, request) => {
    const desk = new Desk();
    desk.commit({ writes: [write("dir/a", 0)] });
    expect(() => desk.commit(request)).toThrow(expect.objectContaining({ code: "INVALID_INPUT" }));
  });

  test("may put a file where a directory was, and rename a path's case, in one", () => {
    const desk = new Desk();
    desk.commit({ writes: [write("dir/a", 0)] });
    expect(desk.commit({ writes: [removal("dir/a", 1), write("dir", 1)] }).outcome).toBe(
      "committed",
    );
    expect(desk.commit({ writes: [removal("dir", 2), write("Dir", 2)] }).outcome).toBe("committed");
    expect([...filesOf(desk.state.files)].map(({ path }) => path)).toEqual(["Dir"]);
  });
});

describe("an open conflict", () => {
  const escalate: StrategyRule[] = [{ paths: "**", strategy: "escalate" }];

  function waiting(): { desk: Desk; conflict: OpenConflict } {
    const desk = new Desk();
    desk.state = { ...desk.state, rules: escalate };
    desk.commit({ writes: [write("a", 0), write("b", 0)] });
    desk.commit({ by: "bob", writes: [write("a", 1, 2), write("b", 1, 2)] });
    const { outcome, conflict } = desk.commit({ writes: [write("a", 1, 3), write("b", 1, 3)] });
    expect(outcome).toBe("open");
    expect(conflictAt(conflict!)).toBe(6);
    return { desk, conflict: desk.state.conflicts[conflict!]! };
  }

  test("needs a decision for every path", () => {
    const { desk, conflict } = waiting();
    const some = [{ path: "a", winner: "ours" as const }];
    expect(() => settle(desk.state, conflict, "ada", some, desk.at)).toThrow("b is not decided");
  });

  test("is not decided for a merge that there is not", () => {
    const { desk, conflict } = waiting();
    const merged = ["a", "b"].map((path) => ({ path, winner: "merged" as const }));
    expect(() => settle(desk.state, conflict, "eve", merged, desk.at)).toThrow(
      "a does not merge cleanly",
    );
  });

  test("is decided path by path, and ends", () => {
    const { desk, conflict } = waiting();
    const decisions = [
      { path: "a", winner: "ours" as const },
      { path: "b", winner: "merged" as const, hash: content(4), size: 4 },
    ];
    desk.record(settle(desk.state, conflict, "eve", decisions, desk.at));
    expect(findFile(desk.state.files, "a")).toMatchObject({ version: 3, hash: content(3) });
    expect(findFile(desk.state.files, "b")).toMatchObject({ version: 3, hash: content(4) });
    expect(desk.state.conflicts).toEqual({});
  });

  test("that is decided for the other side on one path refuses the whole commit", () => {
    const { desk, conflict } = waiting();
    const decisions = [
      { path: "a", winner: "ours" as const },
      { path: "b", winner: "theirs" as const },
    ];
    desk.record(settle(desk.state, conflict, "eve", decisions, desk.at));
    expect(findFile(desk.state.files, "a")).toMatchObject({ version: 2, hash: content(2) });
    expect([desk.head, desk.state.conflicts]).toEqual([2, {}]);
  });

  test("cannot be decided for what makes no sense any more, and still against it", () => {
    const desk = new Desk();
    desk.state = { ...desk.state, rules: escalate };
    desk.commit({ writes: [write("a", 0)] });
    desk.commit({ writes: [write("a", 1, 2)] });
    const { conflict: id } = desk.commit({ writes: [write("a", 1, 3), write("dir/file", 1)] });
    const conflict = desk.state.conflicts[id!]!;
    desk.commit({ by: "bob", writes: [write("dir", 2)] });
    const decide = (winner: "ours" | "theirs") =>
      settle(desk.state, conflict, "eve", [{ path: "a", winner }], desk.at);
    expect(() => decide("ours")).toThrow('"dir" is a file');
    desk.record(decide("theirs"));
    expect(desk.state.conflicts).toEqual({});
  });

  test("is behind again when somebody commits meanwhile", () => {
    const { desk, conflict } = waiting();
    expect(staleOf(desk.state, rebased(conflict))).toEqual([]);
    desk.commit({ by: "eve", writes: [write("a", 2, 9)] });
    expect(staleOf(desk.state, rebased(conflict))).toMatchObject([{ path: "a", base: 2 }]);
  });
});

test("a commit whose conflicts different ones would decide is for a person, as a whole", () => {
  const desk = new Desk();
  const rules: StrategyRule[] = [
    { paths: "a", strategy: "vote", voters: 3 },
    { paths: "b", strategy: "merge", otherwise: "semantic" },
    { paths: "c", strategy: "lastWriterWins" },
  ];
  desk.state = { ...desk.state, rules };
  const all = ["a", "b", "c"];
  desk.commit({ writes: all.map((path) => write(path, 0)) });
  desk.commit({ writes: all.map((path) => write(path, 1, 2)) });
  const { conflict } = desk.commit({ writes: all.map((path) => write(path, 1, 3)) });
  const { clashes } = desk.state.conflicts[conflict!]!;
  expect(clashes.map(deciderOf)).toEqual(["escalate", "escalate", undefined]);
});

test("a refusal of very much names a part of it, and how much more there is", () => {
  const desk = new Desk();
  const paths = Array.from({ length: 300 }, (_, n) => `f${n}`);
  desk.commit({ writes: paths.map((path) => write(path, 0)) });
  const { events } = desk.commit({ writes: paths.map((path) => write(path, 0, 2)) });
  const [, found] = events[0]!;
  expect(found).toMatchObject({ more: 200 });
  expect(JSON.stringify(events).length).toBeLessThan(150_000);
});

test("ids of conflicts lead back to their records", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 52 }), (at) => {
      expect(conflictAt(conflictId(at))).toBe(at);
    }),
  );
  for (const id of ["", "c", "x1", "c-1", "c1 ", `c${"z".repeat(20)}`]) {
    expect(conflictAt(id)).toBeUndefined();
  }
});

/** One agent's step: it looks at some files, or commits what it has seen of them. */
const step = fc.record({
  agent: fc.integer({ min: 0, max: 3 }),
  look: fc.boolean(),
  vote: fc.integer({ min: 0, max: 4 }).map((one) => one === 0),
  reads: fc.uniqueArray(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }),
  writes: fc.uniqueArray(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 3 }),
  remove: fc.boolean(),
});

test("whatever agents do, accepted commits are as if made one after the other: each has read what stood there", () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 5, maxLength: 60 }), (steps) => {
      const desk = new Desk();
      const seen = new Map<number, number>();
      for (const [n, { agent, look, vote, reads, writes, remove }] of steps.entries()) {
        if (vote) desk.vote();
        if (look) {
          seen.set(agent, desk.head);
          continue;
        }
        const base = seen.get(agent) ?? 0;
        const request = {
          by: `agent ${agent}`,
          writes: writes.map((file) =>
            remove ? removal(`f${file}`, base) : write(`f${file}`, base, n),
          ),
          reads: reads.map((file) => ({ path: `f${file}`, base })),
        };
        const unseen = desk.history.some(
          ({ version, changes }) =>
            version > base &&
            changes.some(({ path }) =>
              [...request.writes, ...request.reads].some((one) => one.path === path),
            ),
        );
        const before = desk.head;
        const { outcome } = desk.commit(request);
        expect(outcome).toBe(unseen ? "rejected" : "committed");
        expect(desk.head - before).toBeLessThanOrEqual(outcome === "committed" ? 1 : 0);
        if (outcome === "committed") seen.set(agent, desk.head);
      }
      // The tree is what the commits say, one after the other.
      const tree = new Map<string, string | undefined>();
      for (const { changes } of desk.history)
        for (const { path, hash } of changes) tree.set(path, hash);
      for (const [path, hash] of tree) expect(findFile(desk.state.files, path)?.hash).toBe(hash);
      // And each change names the one before it: the chain of a file leads back to its beginning.
      for (const [n, { changes }] of desk.history.entries()) {
        for (const { path, before } of changes) {
          const last = desk.history
            .slice(0, n)
            .findLast((one) => one.changes.some((c) => c.path === path));
          expect(before.version).toBe(last?.version ?? 0);
          expect(last && desk.after(before.at)?.version).toBe(last?.version);
        }
      }
      // Whatever lies between, the way to each commit ends at its record.
      for (const file of filesOf(desk.state.files, true)) {
        expect(desk.after(file.at)?.version).toBe(file.version);
      }
      for (const [n, { previous }] of desk.history.entries()) {
        expect(n === 0 || desk.after(previous)?.version === n).toBe(true);
      }
      expect(desk.head === 0 || desk.after(desk.state.at)?.version === desk.head).toBe(true);
    }),
    { numRuns: 300 },
  );
});
