// Runs in a container. Writes `ready`, `drained` when it has left in order, and `file <task>` for every execution.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, shutdownSignal } from "@plexus/mesh";
import { Clerk } from "./contract.ts";

const mesh = await connect({ timeout: "60s" });
await mesh.host(
  Clerk,
  {
    add: async ({ a, b, ms }) => {
      await sleep(ms);
      return a + b;
    },
    serve: async ({ ms }) => {
      await sleep(ms);
      return { name: mesh.name, uid: process.getuid?.() ?? -1, pid: process.pid };
    },
    file: async ({ a, b, ms }, { id }) => {
      console.log(`file ${id}`);
      await sleep(ms);
      return { sum: a + b, execution: randomUUID() };
    },
  },
  { taskConcurrency: 16 },
);
console.log("ready");
await shutdownSignal();
await mesh.close();
console.log("drained");
