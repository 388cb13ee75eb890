import type { Action } from "@plexus/refactor-crew";
import { paint } from "./output.ts";

type Clashed = Extract<Action, { kind: "clashed" }>;

const AUTHORS = {
  rules: "",
  model: ", by the model",
  "rules instead of the model": ", by rules instead of the model",
};
/** Widest line, in columns. */
const WIDTH = 100;
const INDENT = " ".repeat(22);
const MAX_NAMED = 3;

/** The timeline of a run: what agents did, where they met, and how that was decided. */
export class CrewView {
  #startedAt: number | undefined;
  readonly #joined = new Set<string>();

  /** The lines for one action; none for what only agents care about. */
  lines(action: Action): string[] {
    if (action.kind === "started") this.#startedAt = action.at;
    const [first, ...more] = this.#words(action);
    if (first === undefined) return [];
    const seconds = ((action.at - (this.#startedAt ?? action.at)) / 1_000).toFixed(1);
    const head = `${seconds.padStart(6)}  ${action.agent.padEnd(12)}  `;
    const text = [first, ...more].flatMap(wrapped);
    return text
      .map((line, index) => (index === 0 ? head : INDENT) + line)
      .map((line) => (isTrouble(action) ? paint("yellow", line) : line));
  }

  #words(action: Action): string[] {
    switch (action.kind) {
      case "joined":
        return this.#joining(action);
      case "landed":
        return [
          `${version(action.version)}${action.title} (${count(action.spots.length, "edit")}, ${count(action.paths.length, "file")}${AUTHORS[action.by]})`,
          ...action.unseen.map(
            ({ path, by }) => `saved ${path} over what ${by} had just saved there`,
          ),
        ];
      case "dropped":
        return [`drops "${action.title}": ${action.why}`];
      case "told":
        return action.reaction === "starts over"
          ? [`hears of v${action.version} by ${action.by}, in ${action.path}: starts over`]
          : [];
      case "clashed":
        return conflictLines(action);
      case "voted":
        return [`votes for ${action.prefers}, which ${action.why}`];
      case "reviewed":
        return action.note === undefined ? [] : [`reviews ${action.job}: ${action.note}`];
      case "asked":
        return [`asks ${action.ask.agent}: "${action.title}" ${action.why}`];
      case "tested":
        return [`tests: ${testWords(action)}`];
      case "reverted":
        return [`${version(action.version)}reverts "${action.title}", found by bisection`];
      case "delivered":
        return [`${version(action.version)}delivers`];
      default:
        return [];
    }
  }

  /** Somebody was killed, by who shows what that does. */
  killed(whom: string, at: number): string {
    const seconds = ((at - (this.#startedAt ?? at)) / 1_000).toFixed(1);
    return paint("red", `${seconds.padStart(6)}  chaos         SIGKILL to ${whom}`);
  }

  #joining({ agent, pid }: Extract<Action, { kind: "joined" }>): string[] {
    const isBack = this.#joined.has(agent);
    this.#joined.add(agent);
    return [isBack ? `is back as pid ${pid}, and goes on` : `is there, pid ${pid}`];
  }
}

/** How a conflict was found and how it ended: who, which file, which base, which strategy, who won. */
function conflictLines({ title, files, strategy, landed, conflict }: Clashed): string[] {
  const [file] = files;
  if (file === undefined) return [];
  const more = files.length > 1 ? ` and ${count(files.length - 1, "more file")}` : "";
  const theirs = file.theirs.at(-1); // the first that it had not seen
  return [
    `conflict ${conflict}: ${file.type} in ${file.path}${more}`,
    `ours    "${title}", made from ${file.base === 0 ? "nothing" : `v${file.base}`}`,
    ...(theirs === undefined
      ? []
      : [`theirs  "${theirs.title}", v${theirs.version} of ${theirs.by}`]),
    `${strategy.padEnd(6)}  ${endOf(file.type, strategy, landed)}`,
  ];
}

function endOf(type: string, strategy: string, landed: boolean): string {
  if (strategy === "vote") return landed ? "ours wins" : "theirs wins";
  if (strategy === "semantic") {
    return landed ? "merged by the model, the tests pass" : "no good merge; done again";
  }
  if (landed) return type === "add/add" ? "both are kept" : "different lines: both are kept";
  if (type === "read/write") return "what ours was made from has changed: refused, done again";
  return "the same lines: refused, done again on what is there now";
}

function isTrouble(action: Action): boolean {
  return (
    action.kind === "clashed" ||
    action.kind === "reverted" ||
    (action.kind === "tested" && action.failed > 0) ||
    (action.kind === "landed" && action.unseen.length > 0)
  );
}

export function testWords({
  passed,
  failed,
  failures,
}: {
  readonly passed: number;
  readonly failed: number;
  readonly failures: readonly string[];
}): string {
  if (failed === 0) return `all ${passed} pass`;
  const more = failures.length > MAX_NAMED ? ` and ${failures.length - MAX_NAMED} more` : "";
  const names = failures.slice(0, MAX_NAMED).map((name) => `"${name}"`);
  return `${failed} of ${passed + failed} fail: ${names.join(", ")}${more}`;
}

export function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

function version(number: number | undefined): string {
  return number === undefined ? "" : `v${number}  `.padEnd(5);
}

/** A text on lines that are not too wide. */
function wrapped(text: string): string[] {
  const lines = [""];
  for (const word of text.split(/(?<=\S )(?=\S)/)) {
    const line = lines.at(-1)!;
    if (line !== "" && line.length + word.trimEnd().length > WIDTH - INDENT.length) {
      lines.push(`  ${word}`);
    } else lines[lines.length - 1] = line + word;
  }
  return lines.map((line) => line.trimEnd());
}
