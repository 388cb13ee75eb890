// Hosts the talker of that name until SIGTERM. Writes `ready`, and `asked` for each question.
import { connect, shutdownSignal } from "@plexus/mesh";
import { talker } from "./contracts.ts";

const [name = ""] = process.argv.slice(2);
const ended = shutdownSignal();
await using mesh = await connect({ name });
await using hosted = await mesh.host(talker(name), {
  reply: ({ text }) => {
    console.log("asked");
    return { text: `${name} heard: ${text}`, pid: process.pid };
  },
});
console.log("ready");
await ended;
await hosted.drain();
