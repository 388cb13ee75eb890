// Reads entries by the name "ledger" until SIGTERM, and has each recorded. Waits so many ms in each handler, then.
import { setTimeout as sleep } from "node:timers/promises";
import { connect, shutdownSignal } from "@plexus/mesh";
import { Entries, Recorder } from "./entries.ts";

const ended = shutdownSignal();
await using mesh = await connect({ name: "reader", http: false });
await mesh.waitFor(Recorder);
const recorder = mesh.get(Recorder);
await mesh.subscribe(
  Entries,
  async ({ account, n }) => {
    await recorder.record({ account, n, pid: process.pid });
    await sleep(Number(process.argv[2]));
  },
  { name: "ledger", from: "all", ackWait: 1_500 },
);
console.log("ready");
await ended;
await mesh.close();
console.log("ended");
