// Hosts accounts until SIGTERM. Writes `ready <instance>`, and `began <note>` for each deposit. A note that begins with
// `slow <ms>` takes so long; one that begins with `poison` ends the process. The argument `patient` gives it a long lease.
import { setTimeout as sleep } from "node:timers/promises";
import { connect, shutdownSignal } from "@plexus/mesh";
import { Account, PatientAccount, accountHandlers, hostAccounts } from "../../support/account.ts";

const ended = shutdownSignal(); // before anybody can know that it runs
await using mesh = await connect({ name: "teller" });
const deposit: (typeof accountHandlers)["deposit"] = async (input, context) => {
  console.log(`began ${input.note}`);
  context.emit("deposited", input);
  if (input.note.startsWith("poison")) process.kill(process.pid, "SIGKILL");
  const [, ms] = /^slow (\d+)/.exec(input.note) ?? [];
  if (ms !== undefined) await sleep(Number(ms));
  return context.state.cents;
};
const contract = process.argv.includes("patient") ? PatientAccount : Account;
await using hosted = await hostAccounts(mesh, { deposit }, {}, contract);
console.log(`ready ${hosted.info.instance}`);
await ended;
