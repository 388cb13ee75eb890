// Stands for election until it is told to end; writes when it begins and ends to lead.
import { connect, shutdownSignal } from "@plexus/mesh";

const [name, ttl] = process.argv.slice(2) as [string, string];
await using mesh = await connect({ name: "candidate", http: false });
mesh.elect(name, {
  ttl: Number(ttl),
  onElected: async ({ token, signal }) => {
    console.log(`leads ${token} ${Date.now()}`);
    await new Promise((resolve) => {
      signal.addEventListener("abort", resolve, { once: true });
    });
    console.log(`led ${token} ${Date.now()}`);
  },
});
console.log("ready");
await shutdownSignal();
