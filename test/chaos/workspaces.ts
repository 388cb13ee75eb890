import { setTimeout as sleep } from "node:timers/promises";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect as connectNats } from "@nats-io/transport-node";
import { connect } from "@plexus/mesh";
import { seededRandom, startBroker } from "@plexus/testing";
import { faultsOf, readJournal } from "../support/journal.ts";
import type { Campaign, CampaignOutcome } from "./campaign.ts";
import { Editors, type EditorPlan } from "./editors.ts";
import { Librarians } from "./librarians.ts";
import { quiet } from "./quiet.ts";
import { auditEdits, live, rebuilt } from "./workspace-audit.ts";

/** Who edits, and what happens to those who decide. */
export interface WorkspacePlan extends EditorPlan {
  readonly hosts: number;
  /** A host is killed, and another one joins, whenever so many edits more are done. */
  readonly killEvery: number;
  /** The broker is killed and started again as often, spread over the run. */
  readonly restarts: number;
  /** Whether processes run the built packages, or the sources. */
  readonly built: boolean;
}

export interface WorkspaceReport {
  readonly accepted: number;
  readonly rejected: number;
  /** Edits whose fate was unknown at first, and that were sent again. */
  readonly repeated: number;
  readonly killed: number;
  readonly restarted: number;
  /** What is not as agents were told, lost updates above all. */
  readonly wrong: readonly string[];
  /** Faults of the journal itself. */
  readonly faults: readonly string[];
  /** Whether the state is the same: live, folded from the events, of a new owner, of a new owner without snapshots. */
  readonly same: boolean;
  readonly seconds: number;
}

const DOWN_MS = 400;

/** Agents that edit the same files while owners and broker are killed. */
export const workspaceCampaign: Campaign = {
  summary: "8 agents, 2,000 edits of 50 files; hosts and broker killed meanwhile",
  async run({ seed, scale, log }) {
    const edits = Math.max(80, Math.round((2_000 * scale) / 8) * 8);
    const killEvery = Math.max(20, Math.round(edits / 10));
    const plan = {
      seed,
      editors: 8,
      edits,
      files: 50,
      pauseMs: 60,
      hosts: 3,
      killEvery,
      restarts: 3,
    };
    return outcomeOf(await runWorkspaceCampaign({ ...plan, built: true }, log));
  },
};

function outcomeOf(report: WorkspaceReport): CampaignOutcome {
  const { accepted, rejected, repeated, killed, restarted, wrong, faults, same, seconds } = report;
  return {
    ok: wrong.length === 0 && faults.length === 0 && same,
    figures: { ...report },
    lines: [
      `edits      ${accepted} accepted, ${rejected} rejected, ${repeated} sent again, in ${seconds.toFixed(0)} s`,
      `faults     ${killed} hosts killed, broker killed ${restarted} times`,
      `wrong      ${wrong.length} (lost updates, edits that are not as their agents were told)`,
      `journal    ${faults.length} faults`,
      `state      ${same ? "the same" : "DIFFERENT"}: live, from the events, of a new owner, of one without snapshots`,
      ...[...wrong, ...faults].slice(0, 20),
    ],
  };
}

/** Lets agents edit under faults, and compares history with what they were told. */
export async function runWorkspaceCampaign(
  plan: WorkspacePlan,
  log: (line: string) => void,
): Promise<WorkspaceReport> {
  const random = seededRandom(plan.seed);
  const execArgv = plan.built ? [] : ["--conditions=plexus-source"];
  await using broker = await startBroker();
  await using hosts = new Librarians(broker.url, execArgv);
  await Promise.all(Array.from({ length: plan.hosts }, () => hosts.join()));
  const options = { servers: broker.url, name: "auditor", http: false, log: quiet } as const;
  await using mesh = await connect(options);
  const repo = mesh.workspace("shop", { agent: "auditor" });
  await repo.setStrategies({ "docs/**": "merge" });
  const startedMs = performance.now();
  await using editors = new Editors(broker.url, execArgv, plan);
  const restartEvery = Math.ceil(plan.edits / (plan.restarts + 1));
  const joining: Promise<void>[] = [];
  let [kills, restarted] = [0, 0];
  const over = new AbortController();
  const ended = editors.done.finally(() => over.abort());
  ended.catch(() => undefined); // awaited below
  while (!over.signal.aborted) {
    const done = editors.edits.length;
    if (restarted < plan.restarts && done >= restartEvery * (restarted + 1)) {
      restarted++;
      log(`${done} edits: the broker is killed`);
      await broker.restart({ signal: "SIGKILL", downMs: DOWN_MS });
    } else if (done >= plan.killEvery * (kills + 1) && hosts.count > 1) {
      kills++;
      log(`${done} edits: a host is killed`);
      await hosts.kill(random());
      joining.push(hosts.join()); // edits do not wait for it, nor does the next fault
    } else await sleep(20);
  }
  await ended;
  await Promise.all(joining);
  const seconds = (performance.now() - startedMs) / 1_000;
  log("all edits are done: audit");
  const wrong = await auditEdits(repo, editors.edits);
  const nats = await connectNats({ servers: broker.url });
  const journal = await readJournal(nats, mesh.mesh);
  const states = [await live(mesh, "shop"), rebuilt(journal, "shop")];
  await hosts.killAll();
  await hosts.join();
  states.push(await live(mesh, "shop"));
  await hosts.killAll();
  await (await jetstreamManager(nats)).streams.purge(`${mesh.mesh}-snapshots`);
  await hosts.join();
  states.push(await live(mesh, "shop"));
  await nats.close();
  const count = (outcome: string): number =>
    editors.edits.filter((edit) => edit.outcome === outcome).length;
  return {
    accepted: count("accepted"),
    rejected: count("rejected"),
    repeated: editors.edits.filter((edit) => edit.repeated > 0).length,
    killed: hosts.killed,
    restarted,
    wrong,
    faults: faultsOf(journal),
    same: new Set(states).size === 1,
    seconds,
  };
}
