// `plexus demo` as a process of its own.
import { demoCommand } from "../../../packages/cli/src/demo.ts";

await demoCommand().parseAsync(process.argv.slice(2), { from: "user" });
