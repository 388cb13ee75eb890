import { main } from "./main.mjs";
import { prepare } from "./prepare.mjs";
import { say } from "./say.mjs";

/* `node scripts/setup.mjs`: only the set-up that every command begins with, for an image or a first offline preparation. */

await main(async () => {
  await prepare();
  say("ready");
  return 0;
});
