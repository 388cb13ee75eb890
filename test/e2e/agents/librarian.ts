// Hosts workspaces until SIGTERM. Writes `ready <instance>`.
import { connect, shutdownSignal } from "@plexus/mesh";

const ended = shutdownSignal(); // before anybody can know that it runs
await using mesh = await connect({ name: "librarian" });
await using hosted = await mesh.hostWorkspaces();
console.log(`ready ${hosted.info.instance}`);
await ended;
