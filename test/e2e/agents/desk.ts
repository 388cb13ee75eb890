// Hosts a desk until SIGTERM: a supervisor over two talkers that are elsewhere. Writes `ready`.
import { connect, shutdownSignal } from "@plexus/mesh";
import { hostGraph } from "@plexus/workflow";
import { desk } from "./desk-graph.ts";

const ended = shutdownSignal();
await using mesh = await connect({ name: "desk" });
await using hosted = await hostGraph(mesh, desk(mesh), { lease: "3s" });
console.log("ready");
await ended;
await hosted.drain();
