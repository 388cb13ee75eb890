import { connect, shutdownSignal } from "@plexus/mesh";
import { Analyst } from "./contract.ts";

await using mesh = await connect();
const score = ({ symbol, closes }: { symbol: string; closes: number[] }) => ({
  symbol,
  change: closes.at(-1)! / closes[0]! - 1,
});
await using hosted = await mesh.host(Analyst, { score, study: score });
console.log(`hosting ${hosted.info.instance}`);
await shutdownSignal(); // `docker stop` sends it: then everything above drains
