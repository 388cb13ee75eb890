// Connects, hosts, subscribes, calls, streams, publishes, looks on and closes. Must end by itself, with nothing left.
import { connect } from "@plexus/mesh";
import { Numbers, Worker } from "./contracts.ts";

const mesh = await connect({ name: "life" });
const served = { pid: process.pid, instance: "here" };
await mesh.host(Worker, {
  work: () => served,
  hold: () => served,
  holdSafely: () => served,
  count: async function* () {
    for (let n = 1; n <= 3; n++) yield n;
  },
});
const got = Promise.withResolvers<number>();
await mesh.subscribe(Numbers, (n) => got.resolve(n));
mesh.tap(() => undefined);
mesh.watch(() => undefined);
const worker = mesh.get(Worker);
await worker.work(0);
for await (const n of worker.count.stream(0)) if (n === 2) break;
await worker.hold(0, { signal: AbortSignal.timeout(60_000) });
await mesh.publish(Numbers, 1);
await got.promise;
await mesh.close();
console.log("closed");
