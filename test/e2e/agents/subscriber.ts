// Counts what it gets and what it knows to be lost until SIGTERM; then writes both.
import { connect, shutdownSignal } from "@plexus/mesh";
import { Blocks } from "./contracts.ts";

const ended = shutdownSignal();
await using mesh = await connect({ name: "subscriber" });
const subscription = await mesh.subscribe(Blocks, ({ n, bytes }) => {
  if (bytes.length < 10) console.log(`got ${n}`);
});
console.log("ready");
await ended;
await subscription.unsubscribe();
console.log(JSON.stringify({ received: subscription.received, lost: subscription.lost }));
