import { readFileSync } from "node:fs";

/*
 * Ports are picked outside the range from which the kernel takes the local ports of outgoing connections. A server that is
 * down for a while must find its port free when it comes back: inside that range any client on the machine may be given it
 * meanwhile – even the very client that reconnects to it, which then talks to itself (TCP simultaneous open).
 * Picking is only a guess: the one who binds decides, and callers pick again when the port is taken.
 */
const [low, high] = portRange();

/** A port (1024–65535) which no outgoing connection will be given. It may be in use: bind it and retry on EADDRINUSE. */
export function pickPort(): number {
  return low + Math.floor(Math.random() * (high - low + 1));
}

function portRange(): [number, number] {
  let [first, last] = [32_768, 60_999]; // Linux default; macOS uses 49152–65535
  try {
    const text = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8");
    const [a, b] = text.trim().split(/\s+/).map(Number);
    if (a && b) [first, last] = [a, b];
  } catch {
    // not Linux: 10000–32767 is outside the range of macOS, too
  }
  if (first > 12_000) return [10_000, first - 1];
  if (last < 63_000) return [last + 1, 65_535];
  return [10_000, 65_535]; // the machine uses everything: a collision is possible but rare
}
