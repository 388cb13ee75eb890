// Executes the campaigns' tasks until it is killed. Every execution leaves a line in a file, which survives SIGKILL.
import { openSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@plexus/mesh";
import { Clerk } from "../contract.ts";

const [file = "", slots = ""] = process.argv.slice(2);
const executions = openSync(file, "a");
const mesh = await connect({ name: "clerk", http: false });
await mesh.host(
  Clerk,
  {
    add: async ({ a, b, ms }, { id }) => {
      writeSync(executions, `${id} ${Date.now()}\n`);
      if (ms > 0) await sleep(ms);
      return a + b;
    },
  },
  { taskConcurrency: Number(slots) },
);
console.log("ready");
