// Executes the porter's tasks until it is killed, sometimes by a task. Writes `ready`, and `began <task>` for each.
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@plexus/mesh";
import { Porter } from "./contracts.ts";

const mesh = await connect({ name: "porter" });
const { info } = await mesh.host(
  Porter,
  {
    carry: async (ms, { id }) => {
      console.log(`began ${id}`);
      await sleep(ms);
      return process.pid;
    },
    poison: (_input, { id }) => {
      console.log(`began ${id}`);
      process.kill(process.pid, "SIGKILL");
      return sleep(1_000, 0);
    },
  },
  { taskConcurrency: 4 },
);
console.log(`ready ${info.http}`);
