// Takes a lock, waiting in its queue, and keeps it until it is killed. Writes `locked <token>`.
import { connect } from "@plexus/mesh";

const [lock = "", intent = ""] = process.argv.slice(2);
const mesh = await connect({ name: "locker", http: false });
const held = await mesh.lock(lock, { intent, wait: "10m" });
console.log(`locked ${held.token}`);
held.signal.addEventListener("abort", () => process.exit(1));
