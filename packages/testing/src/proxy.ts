import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { pickPort } from "./port.ts";
import { ProxyLane } from "./proxy-lane.ts";
import { reset } from "./reset.ts";

/** Which way bytes go through a proxy. */
export type Direction = "toTarget" | "toClient";

export type ProxyOptions = {
  /** Where connections lead: `host:port` or a URL with both, such as a broker's `url`. */
  target: string;
  /** Default "127.0.0.1". */
  host?: string;
  /** Default: a free one, kept over `cut` and `heal`. */
  port?: number;
};

/**
 * A TCP proxy that makes the network bad. Client and server see only what a real network could do: bytes arrive late, in
 * order, or the connection breaks – never changed, never with a gap.
 */
export type Proxy = AsyncDisposable & {
  /** `nats://host:port` of the proxy. In front of a cluster, give nats.js `ignoreClusterUpdates`, or it goes around. */
  readonly url: string;
  readonly port: number;
  /** Connections that are open, and all that were ever accepted. */
  readonly connections: { readonly open: number; readonly total: number };
  /** Bytes delivered since the start, for each direction. */
  readonly bytes: Readonly<Record<Direction, number>>;
  /** From now on bytes take `ms`, plus up to `jitterMs` at random, each way. Their order stays. */
  delay(ms: number, jitterMs?: number): void;
  /**
   * A network that swallows packets: connections stay open, new ones are accepted, but nothing arrives – not even the end
   * of a connection. As TCP would send the lost packets again, the bytes are held, not lost: `heal` delivers them.
   * @param direction default both
   */
  hold(direction?: Direction): void;
  /** Resets all connections and refuses new ones. What was under way is lost. */
  cut(): Promise<void>;
  /** A perfect network again: accepts connections, delivers what was held, no delay. */
  heal(): Promise<void>;
};

/**
 * Starts a TCP proxy within this process.
 * @throws Error when the target has no port, or the port asked for is in use
 */
export async function startProxy(options: ProxyOptions): Promise<Proxy> {
  const host = options.host ?? "127.0.0.1";
  const target = parseTarget(options.target);
  const links = new Set<Link>();
  const bytes = { toTarget: 0, toClient: 0 };
  const held = { toTarget: false, toClient: false };
  let latency = { ms: 0, jitterMs: 0 };
  let total = 0;

  const lane = (direction: Direction, from: Socket, to: Socket) =>
    new ProxyLane(from, to, {
      held: () => held[direction],
      delayMs: () => latency.ms + Math.random() * latency.jitterMs,
      delivered: (count) => (bytes[direction] += count),
    });
  const accept = (client: Socket) => {
    total += 1;
    const server = connect({ ...target, allowHalfOpen: true });
    const sockets = [client, server];
    const link = {
      sockets,
      lanes: [lane("toTarget", client, server), lane("toClient", server, client)],
    };
    links.add(link);
    const closed = () => void (sockets.every((socket) => socket.destroyed) && links.delete(link));
    for (const socket of sockets) socket.setNoDelay(true).once("close", closed);
  };

  let server: Server | undefined = await listen(accept, host, options.port);
  const { port } = server.address() as AddressInfo;
  const cut = async () => {
    const closing = server;
    server = undefined;
    const closed = closing && once(closing, "close");
    closing?.close();
    for (const { sockets } of links) for (const socket of sockets) reset(socket);
    await closed;
  };
  return {
    url: `nats://${host}:${port}`,
    port,
    connections: {
      get open() {
        return links.size;
      },
      get total() {
        return total;
      },
    },
    bytes,
    delay: (ms, jitterMs = 0) => {
      latency = { ms, jitterMs };
    },
    hold: (direction) => {
      if (direction !== "toClient") held.toTarget = true;
      if (direction !== "toTarget") held.toClient = true;
    },
    cut,
    heal: async () => {
      latency = { ms: 0, jitterMs: 0 };
      held.toTarget = held.toClient = false;
      for (const { lanes } of links) for (const each of lanes) each.hurry();
      server ??= await listen(accept, host, port);
    },
    [Symbol.asyncDispose]: cut,
  };
}

type Link = { sockets: Socket[]; lanes: ProxyLane[] };

function parseTarget(target: string): { host: string; port: number } {
  const { hostname, port } = new URL(target.includes("://") ? target : `tcp://${target}`);
  if (port === "") throw new Error(`The proxy's target "${target}" has no port`);
  return { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port) };
}

async function listen(
  accept: (client: Socket) => void,
  host: string,
  port: number | undefined,
): Promise<Server> {
  for (let attempt = 1; ; attempt += 1) {
    const server = createServer({ allowHalfOpen: true }, accept);
    server.listen(port ?? pickPort(), host);
    try {
      // Another port only after this one proved to be taken.
      await once(server, "listening");
      return server;
    } catch (error) {
      const taken = (error as NodeJS.ErrnoException).code === "EADDRINUSE";
      if (!taken || port !== undefined || attempt === 10) throw error;
    }
  }
}
