import { MeshError } from "@plexus/core";

export const DEFAULT_SERVER = "nats://127.0.0.1:4222";

/** Where the broker is, and as whom to connect. */
export interface ServerOptions {
  /** Without credentials, so that they can be shown. */
  readonly servers: readonly string[];
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
}

/**
 * Reads NATS URLs, as a list or separated by commas. Credentials may stand in them, `nats://user:password@host` or
 * `nats://token@host`, and are taken out; those of the last URL that has some hold. Throws `INVALID_INPUT` for what is no address.
 */
export function parseServers(servers: string | readonly string[]): ServerOptions {
  const addresses: string[] = [];
  let credentials: Omit<ServerOptions, "servers"> = {};
  const texts = typeof servers === "string" ? servers.split(",") : servers;
  for (const text of texts.map((one) => one.trim())) {
    const url = readUrl(text.includes("://") ? text : `nats://${text}`);
    if (url === undefined) {
      throw new MeshError(
        "INVALID_INPUT",
        `"${withoutCredentials(text)}" is no server address. Write it like ${DEFAULT_SERVER}.`,
      );
    }
    if (url.password !== "") credentials = { user: url.user, password: url.password };
    else if (url.user !== "") credentials = { token: url.user };
    addresses.push(url.address);
  }
  return { servers: addresses, ...credentials };
}

function readUrl(text: string): { address: string; user: string; password: string } | undefined {
  try {
    const url = new URL(text);
    if (url.hostname === "") return undefined;
    const user = decodeURIComponent(url.username);
    const password = decodeURIComponent(url.password);
    url.username = "";
    url.password = "";
    return { address: url.href, user, password };
  } catch {
    return undefined;
  }
}

function withoutCredentials(text: string): string {
  return text.replace(/[^/@]*@/, "…@");
}
