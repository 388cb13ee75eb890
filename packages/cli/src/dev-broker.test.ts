import { execFileSync } from "node:child_process";
import { connect } from "@plexus/mesh";
import { expect, test, vi } from "vitest";
import { devBroker } from "./dev-broker.ts";

/** The nats-servers that this process has started. */
function servers(): number[] {
  const lines = execFileSync("ps", ["-A", "-o", "pid=,ppid=,comm="], { encoding: "utf8" });
  return lines
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, ppid, name]) => Number(ppid) === process.pid && name?.includes("nats-server"))
    .map(([pid]) => Number(pid));
}

test("an embedded broker that dies is started again where it was", async () => {
  const write = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  await using broker = await devBroker(undefined, 0);
  const [pid] = servers();
  process.kill(pid!, "SIGKILL");
  const isAnother = (): void => {
    expect(servers()).toHaveLength(1);
    expect(servers()).not.toEqual([pid]);
  };
  await vi.waitFor(isAnother, 10_000);
  await using mesh = await connect({ servers: broker.url, mesh: "m", name: "test", http: false });
  expect(mesh.agents()).toEqual([]);
  expect(write).toHaveBeenCalledWith(expect.stringContaining("has died"));
  write.mockRestore();
});

test("when the usual port is taken, other terminals are told where the broker is", async () => {
  const write = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  await using first = await devBroker(undefined, undefined); // unless somebody else has the port
  await using second = await devBroker(undefined, undefined);
  expect(second.url).not.toBe(first.url);
  const told = expect.stringContaining(`\`export PLEXUS_SERVERS=${second.url}\``) as string;
  expect(write).toHaveBeenCalledWith(told);
  write.mockRestore();
});
