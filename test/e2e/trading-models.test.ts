import { spawnNode, startBroker, startModelServer } from "@plexus/testing";
import { lexiconScore, simulate } from "@plexus/trading";
import { expect, test } from "vitest";

const plexus = new URL("../../packages/cli/src/main.ts", import.meta.url);
const REAL = ["--symbols", "0"];
/** Of the real data: months with headlines, and quarters. */
const [MONTHS, QUARTERS] = [54, 82];

interface Result {
  readonly lost: number;
  readonly ledgerHash: string;
  readonly ledgerMatches?: boolean;
  readonly sentiment: { readonly model: number; readonly lexicon: number };
  readonly commentary: { readonly model: number; readonly template: number };
  /** By error code. */
  readonly degraded: Readonly<Record<string, number>>;
  readonly llm?: {
    readonly requests: number;
    readonly recoveredMs: number | null;
  };
}

async function demo(args: string[], env: Record<string, string> = {}): Promise<Result> {
  await using run = spawnNode(plexus, { args: ["demo", "--json", ...REAL, ...args], env });
  const { code } = await run.exited;
  expect({ code, stderr: run.stderr() }).toMatchObject({ code: 0 });
  return JSON.parse(await run.waitForLine(/^\{/)) as Result;
}

test("with a model that fails and is out for a while decisions keep flowing, degraded and counted, and it is used again by itself", async () => {
  const { lost, ledgerMatches, sentiment, commentary, degraded, llm } = await demo([
    "--llm-faults",
    "--rate",
    "400",
  ]);
  expect({ lost, ledgerMatches }).toEqual({ lost: 0, ledgerMatches: true });
  expect(sentiment.model + sentiment.lexicon).toBe(MONTHS);
  expect(commentary.model + commentary.template).toBe(QUARTERS);
  // How many of each depends on how busy the machine is.
  expect(sentiment.model + commentary.model).toBeGreaterThan(0);
  const reasons = Object.values(degraded).reduce((sum, times) => sum + times, 0);
  expect(reasons).toBe(sentiment.lexicon + commentary.template);
  expect(reasons).toBeGreaterThan(0);
  expect(llm!.recoveredMs).not.toBeNull();
}, 60_000);

test("one is killed every second while the model fails: nothing is left unread or unwritten, and the ledger follows from what was said", async () => {
  const args = ["--llm-faults", "--chaos", "--seed", "3", "--rate", "500"];
  const { lost, ledgerMatches, sentiment, commentary } = await demo(args);
  expect({ lost, ledgerMatches }).toEqual({ lost: 0, ledgerMatches: true });
  expect(sentiment.model + sentiment.lexicon).toBe(MONTHS);
  expect(commentary.model + commentary.template).toBe(QUARTERS);
}, 90_000);

test("a model that the environment names is asked for each month and quarter once, and trusted", async () => {
  await using broker = await startBroker();
  await using model = await startModelServer();
  model.always(({ messages, schema }) => {
    if (schema === undefined) return { kind: "reply", text: "Calm." };
    const lines = messages.at(-1)!.text.split("\n");
    return { kind: "reply", json: { scores: lines.map(lexiconScore) } };
  });
  const { sentiment, commentary, lost, ledgerHash } = await demo(
    ["--rate", "1500", "--server", broker.url],
    {
      PLEXUS_LLM_BASE_URL: model.url,
      PLEXUS_LLM_MODEL: "stub-model",
    },
  );
  expect({ lost, sentiment, commentary }).toEqual({
    lost: 0,
    sentiment: { model: MONTHS, lexicon: 0 },
    commentary: { model: QUARTERS, template: 0 },
  });
  expect(model.count).toBe(MONTHS + QUARTERS);
  // The stub scores as the word list does.
  expect(ledgerHash).toBe(simulate().closing.ledgerHash);
}, 60_000);

test("a model that is named and never there is told of, and the trades are those of the word list", async () => {
  const { sentiment, commentary, degraded, ledgerHash } = await demo(["--rate", "2000"], {
    PLEXUS_LLM_BASE_URL: "http://127.0.0.1:1/v1",
    PLEXUS_LLM_MODEL: "nobody",
  });
  expect({ sentiment, commentary }).toEqual({
    sentiment: { model: 0, lexicon: MONTHS },
    commentary: { model: 0, template: QUARTERS },
  });
  expect(degraded).toMatchObject({ MODEL_FAILED: expect.any(Number) });
  expect(ledgerHash).toBe(simulate().closing.ledgerHash);
}, 60_000);

test("without a model the word list and the template do it, and the demo says so", async () => {
  const { sentiment, commentary } = await demo(["--rate", "2000"]);
  expect({ sentiment, commentary }).toEqual({
    sentiment: { model: 0, lexicon: MONTHS },
    commentary: { model: 0, template: QUARTERS },
  });
}, 90_000);

test("a model that the environment names by half is refused before anything starts", async () => {
  await using run = spawnNode(plexus, {
    args: ["demo", ...REAL],
    env: { PLEXUS_LLM_MODEL: "some-model", PLEXUS_LLM_BASE_URL: undefined },
  });
  const { code } = await run.exited;
  expect({ code, stderr: run.stderr() }).toEqual({
    code: 2,
    stderr: expect.stringContaining("PLEXUS_LLM_BASE_URL is not set"),
  });
}, 90_000);
