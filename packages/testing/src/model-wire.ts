import { anthropicWire } from "./model-wire-anthropic.ts";
import { googleWire } from "./model-wire-google.ts";
import { openAiWire } from "./model-wire-openai.ts";
import type { ModelWire, StubRequest } from "./model-request.ts";

const wires: readonly ModelWire[] = [openAiWire, anthropicWire, googleWire];

/** Finds who understands a request. */
export function readRequest(
  path: string,
  body: Record<string, unknown>,
): { wire: ModelWire; request: StubRequest } | undefined {
  for (const wire of wires) {
    const request = wire.read(path, body);
    if (request) return { wire, request };
  }
  return undefined;
}
