import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom, startModelServer, type NodeProcess } from "@plexus/testing";
import { expect, test, vi } from "vitest";
import { deployment } from "../support/models.ts";
import { upTo, useMeshes } from "../support/mesh.ts";
import { startAgent } from "../support/workers.ts";
import { Researcher } from "./agents/contracts.ts";

const meshes = useMeshes();

/** Kills to make; each costs the time until its task is delivered again, and a new process. */
const KILLS = Number(process.env["PLEXUS_LLM_KILLS"] ?? 16);
const STEPS = 10;
const HOSTS = 4;

vi.setConfig({ testTimeout: 60_000 + KILLS * 5_000 });

test(`ten-step tool loops whose processes are killed at random steps ask the model once per step (${KILLS} kills)`, async () => {
  await using server = await startModelServer();
  server.always(({ messages }) => {
    const step = messages.filter(({ role }) => role === "tool").length + 1;
    if (step === STEPS) return { kind: "reply", text: "Done" };
    return { kind: "reply", toolCalls: [{ name: "look", input: { step } }] };
  });
  const folder = mkdtempSync(join(tmpdir(), "plexus-deaths-"));
  const group = { desk: { deployments: [deployment(server, { timeout: "30s" })] } };
  const env = { PLEXUS_TEST_MODELS: JSON.stringify({ groups: group }), PLEXUS_TEST_DEATHS: folder };
  const ended = new AbortController();
  let processes: NodeProcess[] = [];
  /** Starts another process whenever one has died. */
  const keepAlive = async (): Promise<void> => {
    while (!ended.signal.aborted) {
      const process = startAgent(meshes, "researcher", [], env);
      processes.push(process);
      await process.exited;
      processes = processes.filter((one) => one !== process);
    }
  };
  const lives = Promise.all(upTo(HOSTS).map(keepAlive));
  try {
    const mesh = await meshes.join();
    await mesh.waitFor(Researcher, { instances: HOSTS, timeout: "30s" });
    const random = seededRandom(KILLS);
    // Not in the middle of a call of the model: that one would have to be made again.
    const places = ["model", "tool", "tools"] as const;
    const names = upTo(KILLS).map((n) => `task-${n}-`);
    const tasks = await Promise.all(
      names.map((name) => {
        const place = places[Math.floor(random() * places.length)]!;
        const step = 1 + Math.floor(random() * (STEPS - 1));
        return mesh.submit(Researcher, "research", { name, dieAt: `${place} ${step}` });
      }),
    );
    const results = await Promise.all(tasks.map((task) => task.result({ timeout: "30m" })));
    expect(results).toEqual(names.map(() => ({ text: "Done", steps: STEPS })));
    expect(readdirSync(folder)).toHaveLength(KILLS);
    const asked = (name: string) =>
      server.calls.filter(({ messages }) => messages[0]!.text === `Research ${name}`).length;
    expect(names.map(asked)).toEqual(names.map(() => STEPS));
  } finally {
    ended.abort();
    await Promise.all(processes.map((process) => process.kill()));
    await lives;
    rmSync(folder, { recursive: true, force: true });
  }
});
