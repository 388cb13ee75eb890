// Hosts a suite of graphs until it is killed: seed, number of graphs and lease are its arguments. Writes `ready`, and `did <what>` for
// each execution and effect that it begins.
import { setTimeout as sleep } from "node:timers/promises";
import type { Duration } from "@plexus/core";
import { connect, shutdownSignal } from "@plexus/mesh";
import { hostGraph } from "@plexus/workflow";
import { World } from "../../support/random-graph.ts";
import { drawSuite } from "../graph-suite.ts";

const MAX_PAUSE_MS = 60;

class ToldWorld extends World {
  override count(what: string): void {
    process.stdout.write(`did ${what}\n`);
  }

  override pause(): Promise<void> | undefined {
    return Math.random() < 0.5 ? sleep(Math.random() * MAX_PAUSE_MS) : undefined;
  }
}

const ended = shutdownSignal();
const [seed, count, lease] = process.argv.slice(2);
await using mesh = await connect({ name: "graph-host", http: false });
const world = new ToldWorld();
await Promise.all(
  drawSuite(Number(seed), Number(count)).graphs.map((graph) =>
    hostGraph(mesh, graph.compile(world), { lease: lease as Duration }),
  ),
);
console.log("ready");
await ended;
