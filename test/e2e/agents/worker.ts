// Hosts the worker until SIGTERM. Writes `ready <instance>`, what its handlers do, and `drained` at the end.
import { setTimeout as sleep } from "node:timers/promises";
import { connect, shutdownSignal, type Context } from "@plexus/mesh";
import { Worker } from "./contracts.ts";

const ended = shutdownSignal(); // before anybody can know that it runs
await using mesh = await connect({ name: "worker" });

async function hold(what: string, ms: number, { signal }: Context): Promise<void> {
  console.log(`began ${what}`);
  signal.addEventListener("abort", () => console.log(`canceled ${what}`));
  await sleep(ms, undefined, { signal });
}

let info = { pid: process.pid, instance: "" };
const hosted = await mesh.host(
  Worker,
  {
    work: () => info,
    hold: async (ms, context) => {
      await hold("hold", ms, context);
      return info;
    },
    holdSafely: async (ms, context) => {
      await hold("holdSafely", ms, context);
      return info;
    },
    count: async function* (ms, context) {
      console.log("began count");
      context.signal.addEventListener("abort", () => console.log("canceled count"));
      try {
        for (let n = 1; ; n++) {
          yield n;
          // The pace of the stream.
          await sleep(ms, undefined, { signal: context.signal });
        }
      } finally {
        console.log("ended count");
      }
    },
  },
  { drainTimeout: process.env["DRAIN_TIMEOUT"] ? Number(process.env["DRAIN_TIMEOUT"]) : "10s" },
);
info = { ...info, instance: hosted.info.instance };
console.log(`ready ${hosted.info.instance} ${hosted.info.http}`);
await ended;
await hosted.drain();
console.log("drained");
