import * as z from "zod";
import { patient } from "./patient/patient.ts";
import { shuffled, uniform } from "./random.ts";
import { glossaries, rename } from "./rules/rename.ts";
import { Job, type RuleName } from "./rules/rule.ts";
import { ruleOf } from "./rules/rules.ts";
import type { Tree } from "./tree.ts";

export const MIN_AGENTS = 5;
export const MAX_AGENTS = 12;

/** What a run is: with the same plan the same agents have the same work. */
export const CrewPlan = z.object({
  seed: z.int(),
  /** All of them: one reviews, one writes tests, one integrates, the rest refactors. */
  agents: z.int().min(MIN_AGENTS).max(MAX_AGENTS),
  /** About how long the refactorers are at work. */
  seconds: z.number().positive(),
  /** The most changes that an agent makes of its own accord. Default: all that there is to do. */
  jobs: z.int().positive().optional(),
  /** One workspace that knows who has seen what, or a plain folder in which everybody saves. */
  mode: z.enum(["workspace", "folder"]),
  /** Where the project is at the end; in a plain folder, all the time. */
  out: z.string(),
});
export type CrewPlan = z.output<typeof CrewPlan>;

/** A job and who does it. */
export const Assignment = z.object({
  id: z.string(),
  agent: z.string(),
  /** Another house wants another name. */
  contested: z.boolean().optional(),
  job: Job,
});
export type Assignment = z.output<typeof Assignment>;

/** Names of the agents; each is a process. */
export function agentsOf({ agents }: Pick<CrewPlan, "agents">): string[] {
  return [...generatorsOf({ agents }), "reviewer", "tester", "integrator"];
}

function generatorsOf({ agents }: Pick<CrewPlan, "agents">): string[] {
  return Array.from({ length: agents - 3 }, (_, index) => `generator-${index + 1}`);
}

/** What is shared among the generators, in this order. */
const SHARED: readonly RuleName[] = [
  "split",
  "null-check",
  "extract",
  "strict-equality",
  "dead-export",
  "plain-loop",
];

/**
 * Who does what, from the project as it was found. The houses of two generators spell some words differently: what such a
 * name becomes is a matter of opinion, and both begin with those. All other work is somebody's alone.
 */
export function backlog(plan: Pick<CrewPlan, "agents" | "seed" | "jobs">): readonly Assignment[] {
  const name = [plan.seed, plan.agents, plan.jobs].join();
  const found = known.get(name) ?? findWork(plan);
  known.set(name, found);
  return found;
}

/** Agents that have work of their own. */
export function workersOf(plan: Pick<CrewPlan, "agents" | "seed" | "jobs">): string[] {
  return [...new Set(backlog(plan).map(({ agent }) => agent))];
}

/** By what they follow from: finding them takes a moment. */
const known = new Map<string, readonly Assignment[]>();

function findWork(plan: Pick<CrewPlan, "agents" | "seed" | "jobs">): Assignment[] {
  const tree = patient(plan.seed);
  const { seed, jobs: most = Infinity } = plan;
  const generators = generatorsOf(plan);
  const [names, otherNames] = glossaries.map((glossary) => rename(glossary).subjects(tree));
  const others = new Map(otherNames!.map(({ subject, to }) => [subject, to]));
  const contested = names!.filter(({ subject, to }) => others.get(subject) !== to);
  const agreed = names!.filter(({ subject, to }) => others.get(subject) === to);
  const first = shuffled(contested, seed, "contested").flatMap(({ subject, to }) =>
    [to, others.get(subject)].map((name, house) => ({
      agent: generators[house]!,
      contested: true,
      job: { rule: "rename" as const, subject, to: name! },
    })),
  );
  const jobs: Job[] = [
    ...agreed.map(({ subject, to }) => ({ rule: "rename" as const, subject, to })),
    ...SHARED.flatMap((rule) => jobsOf(tree, rule)),
  ];
  const shared = shuffled(jobs, seed, "shared").map((job, index) => ({
    agent: generators[index % generators.length]!,
    job,
  }));
  const tests = shuffled(jobsOf(tree, "test"), seed, "test").map((job) => ({
    agent: "tester",
    job,
  }));
  const counts = new Map<string, number>();
  return [...first, ...shared, ...tests].flatMap((one) => {
    const count = (counts.get(one.agent) ?? 0) + 1;
    counts.set(one.agent, count);
    return count > most ? [] : [Object.assign(one, { id: `${one.agent}/${count}` })];
  });
}

/** All that a rule finds to do. */
export function jobsOf(tree: Tree, rule: RuleName): Job[] {
  return ruleOf({ rule })
    .subjects(tree)
    .map((job) => Object.assign(job, { rule }));
}

/** Of the time that there is, what goes into thinking; the rest is for what has to be done again. */
const THINKING = 0.5;
const MIN_THINK_MS = 100;
/** The same for names that one can be of different opinion about. */
const MIN_OPINION_MS = 600;
/** Whoever has thought about it once is faster the second time. */
const AGAIN = 0.4;

/**
 * How long an agent thinks about one of its jobs, in ms: a model would take its time, rules do not. Without it nobody would
 * ever be at work on something that somebody else changes.
 */
export function thinkMs(
  plan: CrewPlan,
  { id, agent, contested }: Assignment,
  attempt: number,
): number {
  const own = backlog(plan).filter((one) => one.agent === agent).length;
  const mean = (plan.seconds * 1_000 * THINKING) / Math.max(1, own);
  const share = attempt === 1 ? 1 : AGAIN;
  const least = contested === true ? MIN_OPINION_MS : MIN_THINK_MS;
  return share * Math.max(least, mean) * (0.5 + uniform(plan.seed, id, attempt));
}
