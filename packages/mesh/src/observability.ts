import type { Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { hostname } from "node:os";
import { collectDefaultMetrics, Registry } from "prom-client";
import { MeshError } from "@plexus/core";

/** Where a process serves /metrics, /livez and /readyz. */
export interface HttpOptions {
  /** Default 0: any free port, told by the registry. */
  readonly port?: number;
  /** Default 127.0.0.1. */
  readonly host?: string;
}

/** Whether the process may get traffic, and why not. */
export interface Readiness {
  readonly ready: boolean;
  readonly connected: boolean;
  readonly registered: boolean;
  readonly draining: boolean;
}

/** The HTTP server that orchestrators and Prometheus ask. */
export class ObservabilityServer {
  readonly url: string;
  readonly #server: Server;

  private constructor(server: Server, host: string) {
    this.#server = server;
    const { port } = server.address() as AddressInfo;
    const reachable = host === "0.0.0.0" || host === "::" ? hostname() : host;
    this.url = `http://${reachable.includes(":") ? `[${reachable}]` : reachable}:${port}`;
  }

  static async open(
    options: HttpOptions,
    registry: Registry,
    readiness: () => Readiness,
  ): Promise<ObservabilityServer> {
    const { port = 0, host = "127.0.0.1" } = options;
    ofProcess();
    // Not imported: an import of node:http loads all of its exports, undici among them, which takes 60 ms.
    const { createServer } = process.getBuiltinModule("node:http");
    const server = createServer((request, response) => {
      void answer(request.url ?? "/", response, registry, readiness);
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause: Error) =>
        reject(
          new MeshError(
            "INVALID_CONTRACT",
            `Cannot serve /metrics on ${host}:${port}: ${cause.message}.`,
            {
              cause,
            },
          ),
        ),
      );
      server.listen(port, host, resolve);
    });
    server.unref();
    return new ObservabilityServer(server, host);
  }

  async close(): Promise<void> {
    await new Promise((resolve) => {
      this.#server.close(resolve);
      this.#server.closeAllConnections();
    });
  }
}

let processMetrics: Registry | undefined;

/** Node's own metrics. They are the process's, and their observers are never removed: so they are made once. */
function ofProcess(): Registry {
  if (processMetrics === undefined) {
    processMetrics = new Registry();
    collectDefaultMetrics({ register: processMetrics });
  }
  return processMetrics;
}

async function scrape(registry: Registry): Promise<string> {
  return (await registry.metrics()) + (await ofProcess().metrics());
}

async function answer(
  url: string,
  response: ServerResponse,
  registry: Registry,
  readiness: () => Readiness,
): Promise<void> {
  const send = (status: number, type: string, body: string): void => {
    response.writeHead(status, { "content-type": type }).end(body);
  };
  try {
    switch (url.split("?", 1)[0]) {
      case "/metrics":
        send(200, registry.contentType, await scrape(registry));
        return;
      case "/livez":
        send(200, "text/plain", "ok\n"); // the event loop turns: that is all liveness means
        return;
      case "/readyz": {
        const state = readiness();
        send(state.ready ? 200 : 503, "application/json", `${JSON.stringify(state)}\n`);
        return;
      }
      default:
        send(404, "text/plain", "/metrics /livez /readyz\n");
    }
  } catch (error) {
    send(500, "text/plain", `${String(error)}\n`);
  }
}
