// Makes the call that the first argument names and waits for its answer: to be killed meanwhile.
import { connect } from "@plexus/mesh";
import { Worker } from "./contracts.ts";

await using mesh = await connect({ name: "caller" });
await mesh.waitFor(Worker);
const worker = mesh.get(Worker);
console.log("calling");
if (process.argv[2] === "count") {
  for await (const n of worker.count.stream(20)) console.log(`got ${n}`);
} else {
  console.log(`got ${(await worker.hold(20_000)).instance}`);
}
