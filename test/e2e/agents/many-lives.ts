// Connects and closes many times over in one process; writes what is left behind.
import { connect } from "@plexus/mesh";
import { Numbers, Worker } from "./contracts.ts";

const served = { pid: process.pid, instance: "here" };
const handlers = {
  work: () => served,
  hold: () => served,
  holdSafely: () => served,
  count: async function* () {
    yield 1;
  },
};

async function life(): Promise<void> {
  await using mesh = await connect({ name: "life" });
  await mesh.host(Worker, handlers);
  await mesh.subscribe(Numbers, () => undefined);
  await mesh.get(Worker).work(0);
}

function left(): { resources: Record<string, number>; listeners: number; heapMb: number } {
  globalThis.gc?.();
  const resources: Record<string, number> = {};
  for (const name of process.getActiveResourcesInfo()) {
    resources[name] = (resources[name] ?? 0) + 1;
  }
  const listeners = process
    .eventNames()
    .reduce((sum, name) => sum + process.listenerCount(name), 0);
  return { resources, listeners, heapMb: process.memoryUsage().heapUsed / 2 ** 20 };
}

const cycles = Number(process.argv[2]);
for (let n = 0; n < 20; n++) {
  await life();
}
const before = left();
for (let n = 0; n < cycles; n++) {
  await life();
}
console.log(JSON.stringify({ before, after: left() }));
