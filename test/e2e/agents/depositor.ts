// Sends so many durable deposits to each of some keys, writes `sent`, and dies.
import { connect } from "@plexus/mesh";
import { Account } from "../../support/account.ts";

const [count = "0", ...keys] = process.argv.slice(2);
const mesh = await connect({ name: "depositor", http: false });
const notes = Array.from({ length: Number(count) }, (_, n) => String(n));
await Promise.all(
  keys.flatMap((key) =>
    notes.map((note) => mesh.get(Account, key).deposit.send({ cents: 1, note }, { id: note })),
  ),
);
console.log("sent");
process.kill(process.pid, "SIGKILL");
