// Makes calls of every fate many times over; writes what is left behind of them.
import { connect } from "@plexus/mesh";
import { Worker } from "./contracts.ts";

await using mesh = await connect({ name: "caller" });
const served = { pid: process.pid, instance: "here" };
await mesh.host(
  Worker,
  {
    work: () => served,
    hold: async (ms, { signal }) => {
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, ms);
        signal.addEventListener("abort", () => {
          clearTimeout(timer);
          resolve(undefined);
        });
      });
      if (ms === 1) throw new Error("one");
      return served;
    },
    holdSafely: () => served,
    count: async function* () {
      for (let n = 1; n <= 200; n++) yield n;
    },
  },
  { concurrency: 64, queue: 64 },
);
const worker = mesh.get(Worker);
const shared = new AbortController(); // of a caller that lives as long as the process

async function round(): Promise<void> {
  for await (const n of worker.count.stream(0)) if (n === 100) break;
  const canceled = new AbortController();
  const calls = Promise.allSettled([
    worker.work(0, { signal: shared.signal }),
    worker.hold(0),
    worker.hold(1),
    worker.hold(50, { timeout: 2 }),
    worker.hold(50, { signal: canceled.signal }),
    worker.hold("no number" as never),
    mesh.invoke("worker", "nothing", 0),
    mesh.invoke("nobody", "nothing", 0),
    ...Array.from({ length: 200 }, () => worker.hold(0)), // more than there is room for: OVERLOADED
  ]);
  setImmediate(() => canceled.abort());
  await calls;
}

function heapMb(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed / 2 ** 20;
}

async function rounds(count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    await round();
  }
}

await rounds(50);
const before = heapMb();
await rounds(Number(process.argv[2]));
console.log(JSON.stringify({ before, after: heapMb() }));
