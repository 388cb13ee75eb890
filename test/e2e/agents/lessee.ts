// Waits for the lease that the first argument names, holds it until the process is told to end, and writes what happens.
import { connect, shutdownSignal } from "@plexus/mesh";

const [name, ttl] = process.argv.slice(2) as [string, string];
await using mesh = await connect({ name: "lessee", http: false });
console.log("ready");
await using lease = await mesh.lease(name, { ttl: Number(ttl), wait: "60s" });
console.log(`acquired ${lease.token} ${Date.now()}`);
lease.signal.addEventListener("abort", () => {
  console.log(`ended ${lease.signal.reason.code} ${lease.held} ${Date.now()}`);
});
await shutdownSignal();
