import type { ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { StubBehaviour } from "./model-behaviour.ts";
import { completeReply, type ModelWire, type StubRequest } from "./model-request.ts";

const page = "<!doctype html><title>Bad gateway</title><h1>Please log in</h1>";

/** Answers one request in the way that was decided. */
export async function behave(
  wire: ModelWire,
  request: StubRequest,
  behaviour: StubBehaviour,
  response: ServerResponse,
  { id, chunkMs }: { id: string; chunkMs: number },
): Promise<void> {
  switch (behaviour.kind) {
    case "status": {
      const {
        status,
        retryAfter,
        message = `The stub was told to answer ${status}`,
        body,
      } = behaviour;
      if (retryAfter !== undefined) response.setHeader("retry-after", retryAfter);
      return send(response, status, body ?? wire.error(status, message));
    }
    case "html":
      response.setHeader("content-type", "text/html");
      return send(response, 200, page);
    case "invalidJson":
      response.setHeader("content-type", request.stream ? "text/event-stream" : "application/json");
      return send(response, 200, request.stream ? 'data: {"id":"x","cho\n\n' : '{"id":"x","cho');
    case "wrongShape":
      return send(response, 200, { answer: 42 });
    default:
  }
  const afterChunks = "afterChunks" in behaviour ? behaviour.afterChunks : undefined;
  const reply = completeReply(request, behaviour.kind === "reply" ? behaviour : {}, id);
  if (afterChunks === undefined && behaviour.kind === "reset")
    return void response.socket?.resetAndDestroy();
  if (afterChunks === undefined && behaviour.kind === "stall") return undefined;
  if (!request.stream) return send(response, 200, wire.whole(reply));
  const { events, closing } = wire.events(reply);
  response.writeHead(200, { "content-type": "text/event-stream" });
  const shown =
    afterChunks === undefined
      ? events
      : events.slice(0, Math.min(afterChunks, events.length - closing));
  for (const event of shown) {
    if (response.destroyed) return undefined;
    response.write(event);
    if (chunkMs > 0) await sleep(chunkMs);
  }
  switch (behaviour.kind) {
    case "stall":
      return undefined;
    case "reset":
      await sleep(5); // so that the client has read what was sent
      return void response.socket?.resetAndDestroy();
    case "streamError": {
      const error = wire.error(500, behaviour.message ?? "The stub was told to break off");
      response.end(`event: error\ndata: ${JSON.stringify(error)}\n\n`);
      return undefined;
    }
    default:
      response.end();
      return undefined;
  }
}

/** Sends an answer that is not streamed; JSON unless another type was set. */
export function send(response: ServerResponse, status: number, body: unknown): void {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  if (!response.hasHeader("content-type")) response.setHeader("content-type", "application/json");
  response.writeHead(status, { "content-length": Buffer.byteLength(text) }).end(text);
}
