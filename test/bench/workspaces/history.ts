import { connect, type NatsConnection } from "@nats-io/transport-node";
import {
  FrameWriter,
  KINDS,
  Workspaces,
  encodePayload,
  escapeKey,
  findFile,
  partitionOf,
  type Committed,
  type WorkspaceState,
} from "@plexus/core";
import type { Place } from "../contenders/contender.ts";

/** How many commits a commit may be behind. */
export const DEPTHS = [1, 10, 100, 1_000];
/** Where those lie: among the last 10,000 of the workspace, or spread over all of its history. */
export type Where = "recent" | "spread";
/** Files of each depth: each is met once, so that nothing of it is in the owner's memory. */
export const FILES = 5;
const WINDOW = 10_000;
const COLD = 100;
const IN_FLIGHT = 1_024;

/** A file that has changed so often. */
export function deepFile(where: Where, depth: number, n: number): string {
  return `${where}/${depth}/${n}`;
}

/**
 * Writes the history of a workspace straight into the journal, as its owner would have recorded it, and a snapshot of the state at
 * its end: a million commits in a minute instead of an hour. Nobody may own the workspace meanwhile.
 */
export class History {
  readonly #nats: NatsConnection;
  readonly #mesh: string;
  readonly #name: string;
  readonly #plan: string[];
  readonly #partition: number;
  readonly #writer = new FrameWriter();
  #state: WorkspaceState;
  #sequence = 0;
  #next = 0;

  private constructor(nats: NatsConnection, mesh: string, name: string, commits: number) {
    this.#nats = nats;
    this.#mesh = mesh;
    this.#name = name;
    this.#partition = partitionOf(name, Workspaces.partitions);
    this.#plan = planOf(commits);
    this.#state = Workspaces.initial(name);
  }

  static async begin(place: Place, name: string, commits: number): Promise<History> {
    const nats = await connect({ servers: place.servers, noAsyncTraces: true });
    const history = new History(nats, place.namespace, name, commits);
    const info = await nats.request(`$JS.API.STREAM.INFO.${place.namespace}-journal`, "");
    history.#sequence = info.json<{ state: { last_seq: number } }>().state.last_seq;
    return history;
  }

  /** Writes some more; true: that was all. */
  async grow(count: number): Promise<boolean> {
    const until = Math.min(this.#plan.length, this.#next + count);
    const subject = this.#subject("log");
    let window: Promise<void>[] = [];
    while (this.#next < until) {
      const expected = ++this.#sequence;
      window.push(this.#store(subject, this.#record(expected - 1), expected));
      if (window.length < IN_FLIGHT) continue;
      // A window at a time.
      await Promise.all(window);
      window = [];
    }
    await Promise.all(window);
    return this.#next === this.#plan.length;
  }

  async end(): Promise<void> {
    const snapshot = encodePayload({
      contract: Workspaces.version,
      version: this.#sequence,
      state: this.#state,
      remembered: [],
    });
    await this.#nats.request(this.#subject("snap"), snapshot.slice(), { timeout: 30_000 });
    await this.#nats.close();
  }

  #subject(kind: string): string {
    const { name } = Workspaces;
    return `${this.#mesh}.${kind}.${name}.${this.#partition}.${escapeKey(this.#name)}`;
  }

  async #store(subject: string, bytes: Uint8Array, expected: number): Promise<void> {
    const answer = await this.#nats.request(subject, bytes, { timeout: 30_000 });
    const { seq } = answer.json<{ seq: number }>();
    if (seq !== expected) throw new Error(`stored at ${seq} instead of ${expected}`);
  }

  #record(at: number): Uint8Array {
    const path = this.#plan[this.#next]!;
    const version = ++this.#next;
    const last = findFile(this.#state.files, path);
    const before = last
      ? { version: last.version, size: last.size, at: last.at, hash: last.hash! }
      : { version: 0, size: 0, at: 0 };
    const id = `commit ${version}`;
    const commit: Committed = {
      version,
      id,
      by: "history",
      message: "grow",
      parents: [],
      reads: [],
      changes: [
        { path, size: 1, hash: String(version).padStart(43, "h"), base: before.version, before },
      ],
      at,
      previous: this.#state.at,
    };
    this.#state = Workspaces.fold.committed(this.#state, commit);
    this.#writer.write({
      kind: KINDS.state_update,
      id: String(version).padStart(26, "0"),
      sender: "history",
      recipient: this.#name,
      name: "commit",
      sentAt: 0,
      payload: encodePayload({
        epoch: 1,
        events: [["committed", commit]],
        output: { outcome: "committed", version },
      }),
      seq: 1,
    });
    return this.#writer.take().slice();
  }
}

/** Which file each commit changes. */
function planOf(commits: number): string[] {
  const plan = Array.from<string | undefined>({ length: commits });
  const place = (where: Where, depth: number, from: number): void => {
    for (let n = 0; n < FILES; n++) {
      for (let k = 0; k < depth; k++) {
        let at = from + Math.floor(((k + n / FILES) * (commits - from)) / depth);
        while (plan[at] !== undefined) at = at + 1 < commits ? at + 1 : from;
        plan[at] = deepFile(where, depth, n);
      }
    }
  };
  for (const depth of DEPTHS) place("recent", depth, Math.max(0, commits - WINDOW));
  place("spread", 10, 0);
  return plan.map((path, n) => path ?? `cold/${n % COLD}`);
}
