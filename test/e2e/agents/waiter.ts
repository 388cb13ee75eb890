// Commits one file, with a person to decide: <path> <base> <content>. Writes `waits <conflict>` once it waits, `committed <version>` at the end.
import { connect } from "@plexus/mesh";

const [path = "", base, content = ""] = process.argv.slice(2);
await using mesh = await connect({ name: "waiter" });
const { version } = await mesh.workspace("shop").write(path, content, {
  id: "the same again",
  base: Number(base),
  resolve: "escalate",
  onConflict: ({ id }) => console.log(`waits ${id}`),
});
console.log(`committed ${version}`);
