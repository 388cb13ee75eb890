import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, it, vi } from "vitest";
import { main, neutral, plexus } from "../support/cli.ts";

vi.setConfig({ testTimeout: 60_000 }); // each starts a process, and the machine may be busy

const nowhere = ["--server", "nats://127.0.0.1:1", "--timeout", "300ms"];

/** A server that takes connections and never says a word. */
async function silentServer(): Promise<{ readonly port: number } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => sockets.add(socket.on("error", () => undefined)));
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await once(server.close(), "close");
    },
  };
}

/** Starts `plexus ...args`, its standard output going to `stdout`. */
function start(args: readonly string[], stdout: "pipe" | number = "pipe"): ChildProcess {
  const options = ["--conditions=plexus-source", main, ...args];
  return spawn(process.execPath, options, {
    env: { ...process.env, ...neutral },
    stdio: ["ignore", stdout, "pipe"],
  });
}

describe.concurrent("plexus ends", () => {
  it("with code 4 while a server that says nothing holds its connection", async () => {
    await using silent = await silentServer();
    const server = `nats://127.0.0.1:${silent.port}`;
    const { code, stderr } = await plexus(["agents", "ls", "--server", server, "--timeout", "1s"]);
    expect(code).toBe(4);
    expect(stderr).toMatch(/^plexus agents ls: NOT_CONNECTED: [^\n]+\n$/);
  });

  it("with its own code though nobody reads its standard error any more", async () => {
    const child = start(["agents", "ls", ...nowhere]);
    child.stderr!.destroy();
    expect(await once(child, "exit")).toEqual([4, null]);
  });

  it.skipIf(process.platform !== "linux")("with code 1 and one line on a full disk", async () => {
    const full = openSync("/dev/full", "w");
    const child = start(["doctor", ...nowhere], full);
    closeSync(full);
    const [said, [code]] = await Promise.all([text(child.stderr!), once(child, "exit")]);
    expect(code).toBe(1);
    expect(said).toMatch(/^plexus: standard output: ENOSPC[^\n]+\n$/);
  });

  it("with code 1 and what the system says, once, where it may not write", async () => {
    const { code, stderr } = await plexus(["dev", "--port", "0"], { env: { TMPDIR: main } });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^plexus dev: ENOTDIR: not a directory, [^\n]+\n$/);
  });

  it("with code 2 and what to do for graphs that only look like some", async () => {
    const folder = mkdtempSync(join(tmpdir(), "plexus-graphs-"));
    const why = async (source: string): Promise<string> => {
      const file = join(folder, "graph.ts");
      writeFileSync(file, source);
      const { code, stderr } = await plexus(["workflow", "graph", file]);
      expect(code).toBe(2);
      return stderr;
    };
    const copy = new URL("../../packages/workflow/src/graph.ts?copy", import.meta.url);
    expect(
      await why(`import { StateGraph } from "${copy.href}"; export const g = new StateGraph({});`),
    ).toMatch(/exports g, a graph of another copy of @plexus\/workflow .* npx\.\n$/);
    expect(
      await why(
        `import { Annotation, StateGraph } from "${import.meta.resolve("@langchain/langgraph")}";
        export const g = new StateGraph(Annotation.Root({ a: Annotation }));`,
      ),
    ).toMatch(/exports g, a graph of LangGraph\.js: .*langGraphHandlers\(\)\.\n$/);
    rmSync(folder, { recursive: true });
  });

  it("with code 1 and one line when the port of `dev` is taken", async () => {
    await using taken = await silentServer();
    const { port } = taken;
    expect(await plexus(["dev", "--port", `${port}`])).toEqual({
      code: 1,
      stdout: "",
      stderr: `plexus dev: FAILED: Port ${port} is in use. Choose another one, or leave out --port: then a free one is found.\n`,
    });
  });

  it.each([
    [["agnets", "ls"], "unknown command 'agnets'. Did you mean agents? See `plexus --help`."],
    [["topic", "lag", "a b"], "Use a topic's name as it is declared"],
    [["topic", "replay", "bars.*"], "Use a topic's name as it is declared"],
    [["journal", "export", "a.b"], "Use 1 to 63 of the characters"],
    [["journal", "import", "a.b", "file"], "Use 1 to 63 of the characters"],
    [["journal", "verify", "a.b"], "Use 1 to 63 of the characters"],
  ])("with code 2 and one line for %j, without asking a broker", async (args, why) => {
    const { code, stderr } = await plexus(args);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^plexus[ a-z]*: USAGE: [^\n]+\n$/);
    expect(stderr).toContain(why);
  });
});
