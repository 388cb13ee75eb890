import { describeCheckpointer } from "../../../test/support/checkpointer-suite.ts";
import { MemoryCheckpointer } from "./memory-checkpointer.ts";

describeCheckpointer(
  "a checkpointer in memory",
  () => new MemoryCheckpointer(),
  (checkpointer, thread) => (checkpointer as MemoryCheckpointer).revoke(thread),
);
