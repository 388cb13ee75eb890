import { openModels } from "@plexus/llm";
import { startModelServer, type ModelServer } from "@plexus/testing";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { plexus, type CliResult } from "../support/cli.ts";
import { deployment } from "../support/models.ts";
import { useMeshes } from "../support/mesh.ts";

vi.setConfig({ testTimeout: 60_000 }); // each starts several processes, and the machine may be busy

const meshes = useMeshes();
let server: ModelServer;

beforeEach(async () => {
  server = await startModelServer({ keys: ["key"] });
});
afterEach(() => server[Symbol.asyncDispose]());

const run = (args: string[], env: Record<string, string> = {}): Promise<CliResult> =>
  plexus(["llm", ...args], {
    env: { PLEXUS_SERVERS: meshes.broker.url, PLEXUS_MESH: meshes.name, ...env },
  });

const gateway = () => ({
  PLEXUS_LLM_BASE_URL: server.url,
  PLEXUS_LLM_MODEL: "stub-model",
  PLEXUS_LLM_API_KEY: "key",
});

async function json<T>(...args: string[]): Promise<T> {
  const { code, stdout, stderr } = await run([...args, "--json"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout) as T;
}

describe("plexus llm test", () => {
  it("tries a text, a stream, an object and a tool, and shows what a stub's answers are", async () => {
    server.always(({ tools, messages }) =>
      tools.length > 0 && messages.length === 1
        ? { kind: "reply", toolCalls: [{ name: "add", input: { a: 1234, b: 4321 } }] }
        : undefined,
    );
    const { code, stdout, stderr } = await run(["test"], gateway());
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^ok +text +\d+ ms +- +\[stub model\] You said: Say hello/m);
    expect(stdout).toMatch(/^ok +stream .*pieces/m);
    expect(stdout).toMatch(/^ok +object .*"city":"stub"/m);
    expect(stdout).toMatch(/^ok +tool .*2 steps/m);
  });

  it("says what went wrong, with exit code 1, and what is missing, with 2", async () => {
    const wrong = await run(["test", "--json"], { ...gateway(), PLEXUS_LLM_API_KEY: "wrong" });
    expect(wrong.code).toBe(1);
    const { ok, trials } = JSON.parse(wrong.stdout) as { ok: boolean; trials: { said: string }[] };
    expect(ok).toBe(false);
    expect(trials[0]!.said).toMatch(/^UNAUTHORIZED: .*401/);
    expect(wrong.stdout).not.toContain('"wrong"');
    const missing = await run(["test"]);
    expect(missing.code).toBe(2);
    expect(missing.stderr).toContain("PLEXUS_LLM_MODEL");
  });
});

describe("plexus llm usage, budget and breakers", () => {
  it("show what the processes of the mesh have used, may use and are kept from", async () => {
    expect((await run(["usage"])).stdout).toBe(`No calls of models in mesh ${meshes.name}.\n`);
    expect((await run(["budget", "ls"])).stdout).toBe(`No budgets in mesh ${meshes.name}.\n`);
    expect((await run(["breakers"])).stdout).toBe(`Nothing has tripped in mesh ${meshes.name}.\n`);
    const mesh = await meshes.join();
    server.always({ kind: "reply", text: "x", usage: { inputTokens: 1_000, outputTokens: 500 } });
    const spec = deployment(server, { breaker: { reset: "1m" } });
    const llm = await openModels({
      fleet: mesh,
      groups: { default: { deployments: [spec], attempts: 1 } },
      budgets: { mesh: { usd: 1 }, agent: { tokens: 100_000 } },
    });
    await llm.generate("analyst", "Hello");
    await llm.generate("trader", "Hello", { tenant: "acme" });
    server.next({ kind: "status", status: 429, retryAfter: "60" });
    await llm.generate("trader", "Hello").catch(() => undefined);
    await llm[Symbol.asyncDispose]();

    const usage = (await run(["usage"])).stdout;
    expect(usage).toMatch(/^AGENT +MODEL +CALLS +FAILED +TOKENS IN +TOKENS OUT +COST$/m);
    expect(usage).toMatch(/^analyst +main +1 +0 +1,000 +500 +\$0\.002000$/m);
    expect(usage).toMatch(/^trader +main +2 +1 +1,000 +500 +\$0\.002000$/m);
    expect(await json("usage", "--day", "2000-01-01")).toEqual([]);
    expect(await json<object[]>("usage")).toHaveLength(2);

    const budgets = (await run(["budget", "ls"])).stdout;
    expect(budgets).toMatch(/^agent:analyst +1,500 tokens +0 tokens +100,000 tokens +1\.5 % +0$/m);
    expect(budgets).toMatch(/^mesh +\$0\.004000 +\$0\.000000 +\$1\.000000 +0\.4 % +0$/m);
    expect(await json("budget", "set", "mesh", "--usd", "0.005")).toEqual({
      budget: "mesh",
      limit: { usd: 0.005 },
      spent: { usd: 0.004, tokens: 3_000 },
      held: { usd: 0, tokens: 0 },
      processes: 0,
    });
    expect((await run(["budget", "release", "mesh"])).stdout).toMatch(
      /^mesh +\$0\.004000 .* 80\.0 %/m,
    );
    expect((await run(["budget", "release", "run:none"])).code).toBe(1);
    expect((await run(["budget", "set", "mesh"])).code).toBe(2);
    expect((await run(["budget", "set", "nonsense", "--usd", "1"])).code).toBe(2);

    expect((await run(["breakers"])).stdout).toMatch(
      /^main +[0-9a-f]{12} +closed +60000 ms when told$/m,
    );
    expect(await json("breakers")).toMatchObject([
      { model: "main", breaker: "closed", coolingMs: 60_000 },
    ]);
  });
});
