import { spawnNode, type NodeProcess } from "@plexus/testing";

/** What became of one edit, as its agent was told. */
export type Edit = { readonly id: string; readonly repeated: number } & (
  | { readonly outcome: "accepted"; readonly version: number }
  /** With so many clashes. */
  | { readonly outcome: "rejected"; readonly told: number }
  | { readonly outcome: "failed"; readonly why: string }
);

/** How much the agents of a campaign edit. */
export interface EditorPlan {
  readonly editors: number;
  readonly edits: number;
  readonly files: number;
  readonly pauseMs: number;
  readonly seed: number;
}

/** The processes that edit a workspace, and what they have been told so far. */
export class Editors implements AsyncDisposable {
  readonly edits: Edit[] = [];
  /** Resolves when all of them have done their edits. Rejects if one of them ends before. */
  readonly done: Promise<void>;
  readonly #processes: NodeProcess[];

  constructor(servers: string, execArgv: string[], plan: EditorPlan) {
    const { editors, edits, files, pauseMs, seed } = plan;
    this.#processes = Array.from({ length: editors }, (_, n) =>
      spawnNode(new URL("./agents/editor.ts", import.meta.url), {
        args: [`agent-${n}`, seed * 100 + n, edits / editors, files, pauseMs].map(String),
        env: { PLEXUS_SERVERS: servers, PLEXUS_LOG_LEVEL: "silent" },
        execArgv,
      }),
    );
    this.done = Promise.all(this.#processes.map((process) => this.#listen(process))).then(
      () => undefined,
    );
    this.done.catch(() => undefined); // whoever waits is told
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#processes.map((process) => process.kill()));
  }

  async #listen(process: NodeProcess): Promise<void> {
    for await (const line of process.lines()) {
      if (line === "done") return;
      this.edits.push(JSON.parse(line.slice("edit ".length)) as Edit);
    }
    throw new Error(`An editor ended too early: ${process.stderr()}`);
  }
}
