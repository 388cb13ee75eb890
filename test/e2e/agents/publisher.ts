// Publishes numbers as fast as it is let until SIGTERM, whatever happens to the broker; then writes what became of them.
import { setTimeout as sleep } from "node:timers/promises";
import { connect, shutdownSignal } from "@plexus/mesh";
import { Numbers } from "./contracts.ts";

await using mesh = await connect({ name: "publisher" });
const ended = new AbortController();
void shutdownSignal().then(() => ended.abort());
let accepted = 0;
let refused = 0;
console.log("ready");
while (!ended.signal.aborted) {
  try {
    // One after the other, as a real publisher.
    await mesh.publish(Numbers, accepted + 1);
    accepted++;
  } catch {
    refused++;
  }
  await sleep(1);
}
console.log(JSON.stringify({ accepted, refused }));
