import type { Socket } from "node:net";

/**
 * Breaks a TCP connection as a crash would: its peer gets a reset, what was under way is lost. A socket that is just ending its side
 * cannot be reset (Node 24 would never close it, and spin for ever when the process exits): it is closed.
 */
export function reset(socket: Socket): void {
  if (socket.writableEnded && !socket.writableFinished) socket.destroy();
  else socket.resetAndDestroy();
}
