// Hosts the haulier of that name, which hauls at that cost, until SIGTERM. Writes `ready` and what it is told.
import { setTimeout as sleep } from "node:timers/promises";
import { connect, shutdownSignal } from "@plexus/mesh";
import { haulier } from "./contracts.ts";

const [name = "", cost = ""] = process.argv.slice(2);
const ended = shutdownSignal();
await using mesh = await connect({ name });
await using hosted = await mesh.host(haulier(name), {
  bid: () => ({ cost: Number(cost) }),
  perform: async ({ parcel, ms }, { signal }) => {
    console.log(`began ${parcel}`);
    await sleep(ms, undefined, { signal });
    return process.pid;
  },
  lost: (parcel) => {
    console.log(`lost ${parcel}`);
    return null;
  },
});
console.log("ready");
await ended;
await hosted.drain();
