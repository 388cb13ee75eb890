import { createHash } from "node:crypto";
import { watch } from "node:fs";
import {
  appendFile,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { Action, type News } from "./action.ts";
import { Bell } from "./bell.ts";
import type { Attempt, Draft, Landing, Snapshot, Workplace } from "./workplace.ts";

/** Between looks at the log, should the system not tell that it has grown. */
const LOOK_MS = 200;

/** A log of actions that all agents append to, beside the folder, and who saved which content last. */
export function logOf(folder: string): string {
  return `${folder}.log`;
}

/**
 * The project as a plain folder: everybody reads files, thinks, and writes them back whole. Nothing is checked; what is
 * overwritten unseen is only written down.
 */
export class FolderPlace implements Workplace {
  readonly history = undefined;
  readonly agent: string;
  readonly #folder: string;

  constructor(folder: string, agent: string) {
    this.#folder = folder;
    this.agent = agent;
  }

  async snapshot(): Promise<Snapshot> {
    const names = await readdir(this.#folder, { recursive: true });
    const paths = names.filter((name) => /^(src|test)\/[\w.-]+$|^package\.json$/.test(name));
    const texts = await Promise.all(
      paths.toSorted().map(async (path) => [path, await this.#read(path)] as const),
    );
    return {
      version: undefined,
      tree: new Map(texts.filter((one): one is [string, string] => one[1] !== undefined)),
    };
  }

  async attempt(_attempt: Attempt, work: (draft: Draft) => Promise<void>): Promise<Landing> {
    const seen = new Map<string, string | undefined>();
    const writes = new Map<string, string | null>();
    await work({
      read: async (path) => {
        const text = await this.#read(path);
        seen.set(path, text);
        return text;
      },
      write: (path, text) => void writes.set(path, text),
      onUpdate: () => () => undefined,
    });
    const unseen: { path: string; by: string }[] = [];
    for (const [path, text] of writes) {
      // One file after the other, as editors save.
      const there = await this.#read(path);
      if (there !== seen.get(path)) unseen.push({ path, by: await this.#lastSaved(path, there) });
      await this.#save(path, text);
    }
    return { landed: true, version: undefined, clash: undefined, unseen };
  }

  async tell(news: News): Promise<void> {
    const action = { ...news, agent: this.agent, at: Date.now() };
    await appendFile(logOf(this.#folder), `${JSON.stringify(action)}\n`);
  }

  async *actions(signal: AbortSignal): AsyncIterable<Action> {
    const log = await open(logOf(this.#folder), "r");
    const bell = new Bell();
    const decoder = new TextDecoder();
    const watcher = watch(logOf(this.#folder), () => bell.ring());
    try {
      for (let rest = ""; !signal.aborted;) {
        const { bytesRead, buffer } = await log.read({ buffer: Buffer.alloc(2 ** 16) });
        const text = decoder.decode(buffer.subarray(0, bytesRead), { stream: true });
        const lines = (rest + text).split("\n");
        rest = lines.pop()!;
        yield* lines.map((line) => Action.parse(JSON.parse(line)));
        // Until there is more.
        if (bytesRead === 0) await bell.rung(signal, LOOK_MS);
      }
    } finally {
      watcher.close();
      await log.close();
    }
  }

  /** Nobody is ever asked. */
  async judge(): Promise<AsyncDisposable> {
    return { [Symbol.asyncDispose]: async () => undefined };
  }

  async #read(path: string): Promise<string | undefined> {
    return readFile(join(this.#folder, path), "utf8").catch(() => undefined);
  }

  async #save(path: string, text: string | null): Promise<void> {
    const file = join(this.#folder, path);
    if (text === null) await rm(file, { force: true });
    else {
      // Put in place whole: nobody reads half a file.
      const draft = `${logOf(this.#folder)}.${this.agent}`;
      await mkdir(dirname(file), { recursive: true });
      await writeFile(draft, text);
      await rename(draft, file);
    }
    const saved = { path, by: this.agent, hash: hashOf(text ?? undefined) };
    await appendFile(`${logOf(this.#folder)}.saves`, `${JSON.stringify(saved)}\n`);
  }

  /** Whose content that is, by the list of what was saved. */
  async #lastSaved(path: string, text: string | undefined): Promise<string> {
    const list = await readFile(`${logOf(this.#folder)}.saves`, "utf8").catch(() => "");
    const hash = hashOf(text);
    const saves = list
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as { path: string; by: string; hash: string });
    return saves.findLast((one) => one.path === path && one.hash === hash)?.by ?? "somebody";
  }
}

function hashOf(text: string | undefined): string {
  return createHash("sha256")
    .update(text ?? "\0")
    .digest("base64url");
}
