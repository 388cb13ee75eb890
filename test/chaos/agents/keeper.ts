// Hosts meters until SIGTERM. Writes `ready <instance>`.
import { connect, shutdownSignal } from "@plexus/mesh";
import { Meter } from "../meter.ts";

const ended = shutdownSignal();
await using mesh = await connect({ name: "keeper", http: false });
await using hosted = await mesh.host(Meter, {
  add: (reading, context) => {
    context.emit("added", reading);
    return context.state.count;
  },
});
console.log(`ready ${hosted.info.instance}`);
await ended;
