import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import {
  drawLatency,
  type StubBehaviour,
  type StubFaults,
  type StubLatency,
} from "./model-behaviour.ts";
import { behave, send } from "./model-answer.ts";
import type { StubRequest } from "./model-request.ts";
import { readRequest } from "./model-wire.ts";
import { seededRandom } from "./seeded-random.ts";

export type ModelServerOptions = {
  /** How long each answer takes. Default 0. */
  latency?: StubLatency;
  /** Milliseconds between the events of a stream. Default 0. */
  chunkMs?: number;
  /** Keys that are let in; any other gets 401. Default: all are. */
  keys?: readonly string[];
  /** Of latencies and faults. Default 1. */
  seed?: number;
  /** Default: any free one. */
  port?: number;
};

/** A request that the server got. */
export type StubCall = StubRequest & {
  /** When it came, by `performance.now()`. */
  readonly at: number;
  readonly path: string;
  readonly key: string | undefined;
  readonly did: StubBehaviour["kind"] | "unauthorized";
};

/** What decides about a request. Undefined: an ordinary reply. */
export type StubScript = StubBehaviour | ((request: StubRequest) => StubBehaviour | undefined);

/**
 * A stand-in for model providers, on the loopback interface only: it speaks OpenAI's chat completions, Anthropic's
 * messages and Google's generateContent, streamed or not, with tools and JSON schemas, and misbehaves as it is told. It is no
 * model: its texts say that they are a stub's, and its headers too (`x-plexus-stub`).
 */
export type ModelServer = AsyncDisposable & {
  /** What OpenAI-compatible clients take as base URL: `http://127.0.0.1:port/v1`. Anthropic's take it, too. */
  readonly url: string;
  readonly port: number;
  /** All requests so far, however they ended. */
  readonly count: number;
  /** The last 10,000 requests. */
  readonly calls: readonly StubCall[];
  /** Requests that are being answered, and the most that ever were at once. */
  readonly open: { readonly now: number; readonly most: number };
  /** Requests whose client went away before they were answered. */
  readonly abandoned: number;
  /** What the next requests get, one each, in this order. */
  next(...behaviours: StubScript[]): void;
  /** What all requests get from now on, unless `next` says otherwise. Undefined: ordinary replies. */
  always(behaviour: StubScript | undefined): void;
  /** A share of all requests fails from now on, unless `next` says otherwise. */
  faults(faults: StubFaults | undefined): void;
};

const MAX_CALLS = 10_000;

/** Starts a stub model server. Disposing it breaks all connections. */
export async function startModelServer(options: ModelServerOptions = {}): Promise<ModelServer> {
  const { latency = 0, chunkMs = 0, keys, seed = 1 } = options;
  const random = seededRandom(seed);
  const calls: StubCall[] = [];
  const queue: StubScript[] = [];
  const open = { now: 0, most: 0 };
  let standing: StubScript | undefined;
  let faults: StubFaults | undefined;
  let count = 0;
  let abandoned = 0;

  const decide = (request: StubRequest): StubBehaviour => {
    const next = queue.shift();
    const faulty = next === undefined && faults !== undefined && random() < faults.rate;
    const script = faulty
      ? faults!.of[Math.floor(random() * faults!.of.length)]
      : (next ?? standing);
    const behaviour = typeof script === "function" ? script(request) : script;
    return behaviour ?? { kind: "reply" };
  };

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = new URL(request.url ?? "/", "http://stub").pathname;
    response.setHeader("x-plexus-stub", "1");
    if (request.method === "GET") return send(response, 200, { data: [{ id: "stub-model" }] });
    const read = readRequest(path, await readBody(request));
    if (!read) return send(response, 404, { error: { message: `No such path: ${path}` } });
    const key = keyOf(request);
    const denied = keys !== undefined && !keys.includes(key ?? "");
    const behaviour = denied ? undefined : decide(read.request);
    count += 1;
    calls.push({
      ...read.request,
      at: performance.now(),
      path,
      key,
      did: behaviour?.kind ?? "unauthorized",
    });
    if (calls.length > MAX_CALLS) calls.splice(0, MAX_CALLS / 10);
    if (!behaviour) return send(response, 401, read.wire.error(401, "Incorrect API key provided"));
    const waitMs =
      (behaviour.kind === "reply" ? behaviour.latencyMs : undefined) ??
      drawLatency(latency, random);
    if (waitMs > 0) await sleep(waitMs);
    if (response.destroyed) return undefined;
    return behave(read.wire, read.request, behaviour, response, { id: String(count), chunkMs });
  };

  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    open.now += 1;
    open.most = Math.max(open.most, open.now);
    response.once("close", () => {
      open.now -= 1;
      if (!response.writableFinished) abandoned += 1;
    });
    serve(request, response).catch(() => response.destroy());
  });
  server.listen(options.port ?? 0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/v1`,
    port,
    get count() {
      return count;
    },
    calls,
    open,
    get abandoned() {
      return abandoned;
    },
    next: (...behaviours) => void queue.push(...behaviours),
    always: (behaviour) => {
      standing = behaviour;
    },
    faults: (wanted) => {
      faults = wanted;
    },
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function readBody(request: IncomingMessage): Promise<Record<string, unknown>> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  try {
    return JSON.parse(Buffer.concat(parts).toString()) as Record<string, unknown>;
  } catch {
    return {};
  }
}

function keyOf({ headers }: IncomingMessage): string | undefined {
  const own = headers["x-api-key"] ?? headers["x-goog-api-key"];
  if (typeof own === "string") return own;
  return headers.authorization?.replace(/^Bearer /, "");
}
