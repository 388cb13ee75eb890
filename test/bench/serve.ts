import type { Answer, Ask, Commands } from "./remote.ts";

/** The child's side of a {@link Remote}: answers its commands until the parent lets go of it or dies. */
export function serve(commands: Commands): void {
  process.on("disconnect", () => process.exit());
  process.on("message", (ask: Ask) => {
    void answer(commands, ask).then((reply) => process.send?.(reply, ignoreGoneParent));
  });
}

function ignoreGoneParent(): void {}

async function answer(commands: Commands, { command, args }: Ask): Promise<Answer> {
  try {
    return { value: await commands[command]?.(...(args as never[])) };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}
