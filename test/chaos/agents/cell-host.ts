// Hosts registers until it is killed. Writes `ready`.
import { connect } from "@plexus/mesh";
import { Cell } from "../register.ts";

const mesh = await connect({ name: "cell", http: false });
await mesh.host(Cell, {
  read: (_, { state }) => state.mark,
  exchange: (to, context) => {
    const before = context.state.mark;
    context.emit("written", { mark: to });
    return before;
  },
  swap: ({ from, to }, context) => {
    if (context.state.mark !== from) return false;
    context.emit("written", { mark: to });
    return true;
  },
});
console.log("ready");
