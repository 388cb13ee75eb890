import type { Action, CrewOutcome } from "@plexus/refactor-crew";
import type { CrewKills } from "./demo-crew-chaos.ts";
import { count, testWords } from "./demo-crew-view.ts";
import { table } from "./demo-format.ts";

/** Whether a run has kept what its mode promises: in a workspace nothing is lost and the tests pass. A folder promises nothing. */
export function isKept({ plan, score, tests, missing }: CrewOutcome): boolean {
  return (
    plan.mode === "folder" || (score.lostEdits === 0 && tests.failed === 0 && missing.length === 0)
  );
}

/** What became of the work, for a person. */
export function crewReport(outcome: CrewOutcome, kills: CrewKills | undefined): string {
  const { plan, score, tests, elapsedMs } = outcome;
  const { jobs, edits, overruled, lost, lostEdits } = score;
  return [
    "",
    `Work    ${count(edits, "edit")} in ${count(jobs, "change")} by ${plan.agents} agents, ${(elapsedMs / 1_000).toFixed(1)} s`,
    ...(overruled === 0 ? [] : [`        ${count(overruled, "more change")} overruled by votes`]),
    ...(kills === undefined ? [] : [`Killed  ${killWords(kills)}; all came back and went on`]),
    ...(plan.mode === "workspace" ? conflictRows(outcome) : overwriteRows(outcome)),
    `Lost    ${lostEdits === 0 ? "nothing" : `${count(lostEdits, "edit")} of ${count(lost.length, "change")}`}`,
    ...table(
      lost.map(({ agent, title, spots }) => [`${agent}: ${title}`, String(spots.length)]),
      "          ",
    ),
    `Tests   ${testWords(tests)}`,
    ...historyRows(outcome),
  ].join("\n");
}

function killWords({ agents, broker }: CrewKills): string {
  const words = count(agents, "agent");
  return broker === 0 ? words : `${words}, and the broker ${count(broker, "time")}`;
}

/** The same for a program. */
export function crewJson(
  outcome: CrewOutcome,
  kills: CrewKills | undefined,
): Record<string, unknown> {
  const { plan, score, tests, commits, missing, elapsedMs } = outcome;
  return {
    kind: "outcome",
    mode: plan.mode,
    seed: plan.seed,
    agents: plan.agents,
    kept: isKept(outcome),
    changes: score.jobs,
    edits: score.edits,
    overruled: score.overruled,
    lostEdits: score.lostEdits,
    lost: score.lost,
    missing,
    tests,
    conflicts: conflictsOf(outcome),
    overwritten: overwritesOf(outcome).length,
    commits: commits.length,
    ...(kills === undefined ? {} : { kills }),
    elapsedMs: Math.round(elapsedMs),
    out: plan.out,
  };
}

/** How often each kind of conflict ended in which way. */
function conflictsOf({ actions }: CrewOutcome): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const action of actions) {
    const name = endOf(action);
    if (name !== undefined) counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

function endOf(action: Action): string | undefined {
  if (action.kind === "reverted") return "reverted";
  if (action.kind === "told" && action.reaction === "starts over") return "told in time";
  if (action.kind !== "clashed") return undefined;
  if (action.strategy === "vote") return "voted";
  if (action.landed) return "merged";
  return action.files[0]?.type === "read/write" ? "write skew" : "done again"; // as the timeline says
}

const WORDS: Readonly<Record<string, string>> = {
  merged: "the same file, different lines: merged",
  "done again": "the same lines: refused, done again on the new version",
  "write skew": "made from what somebody then changed: refused, done again",
  voted: "two names for one thing: voted by the other agents",
  "told in time": "heard of a change while thinking: began again at once",
  reverted: "broke tests: found by bisection, taken back, done otherwise",
};

function conflictRows(outcome: CrewOutcome): string[] {
  const counts = conflictsOf(outcome);
  const rows = Object.entries(WORDS)
    .filter(([name]) => counts[name] !== undefined)
    .map(([name, words]) => [words, String(counts[name])]);
  return ["Met", ...table(rows, "          ")];
}

function overwritesOf({ actions }: CrewOutcome): { path: string; by: string }[] {
  return actions.flatMap((action) => (action.kind === "landed" ? action.unseen : []));
}

function overwriteRows(outcome: CrewOutcome): string[] {
  const overwrites = overwritesOf(outcome);
  const files = new Set(overwrites.map(({ path }) => path)).size;
  return [
    `Unseen  ${count(overwrites.length, "save")} over what somebody else had just saved, in ${count(files, "file")}`,
  ];
}

function historyRows({ plan, commits }: CrewOutcome): string[] {
  if (plan.mode === "folder") {
    return [`Folder  ${plan.out} (\`git diff\` there shows what has become of the project)`];
  }
  const byAgent = new Map<string, number>();
  for (const { agent } of commits) byAgent.set(agent, (byAgent.get(agent) ?? 0) + 1);
  const authors = [...byAgent].map(([agent, number]) => `${agent} ${number}`).join(", ");
  return [
    `Commits ${commits.length}: ${authors}`,
    `Git     ${plan.out} (\`git log --format='%an: %s'\` there tells the same)`,
    "        its tests: `npm test` there, with Node.js 22.18 or newer",
  ];
}
