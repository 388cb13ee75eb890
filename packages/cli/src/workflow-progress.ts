import type { StreamItem } from "@plexus/workflow";
import { harmless, oneLine, printJson, shorten, toLine } from "./output.ts";

/** What a person or a program is shown of a run while it is executed. */
export type Progress = AsyncIterable<StreamItem>;

/** Modes of streams that are shown. */
export const SHOWN = ["updates", "custom", "tokens"] as const;

/** Shows what a run tells: nodes as they end, what they tell, tokens as they come. Resolves when it has told everything. */
export async function showProgress(
  items: Progress,
  { json, out }: { readonly json: boolean; readonly out: NodeJS.WritableStream },
): Promise<void> {
  let speaker: string | undefined; // whose tokens stand in the last line
  const line = (text: string): void => {
    if (speaker !== undefined) out.write("\n");
    speaker = undefined;
    out.write(`${text}\n`);
  };
  try {
    for await (const item of items) {
      if (json) printJson(item);
      else if (item.mode === "tokens") {
        if (speaker !== item.node) {
          out.write(`${speaker === undefined ? "" : "\n"}${oneLine(item.node)} ▏ `);
        }
        speaker = item.node;
        out.write(harmless(item.text));
      } else if (item.mode === "custom") {
        line(`${oneLine(item.node)} · ${shorten(toLine(item.value))}`);
      } else if (item.mode === "updates") {
        line(`${oneLine(item.node)} ✓ ${shorten(toLine(item.update))}`);
      }
    }
  } finally {
    if (speaker !== undefined) out.write("\n");
  }
}
