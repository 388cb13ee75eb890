import { randomUUID } from "node:crypto";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import type { Broker } from "./broker.ts";

/** A new stream elects its leader first. When the first vote fails, the next takes place after 4 to 9 s. */
const electionMs = 10_000;

type Varz = { auth_required?: boolean; tls_required?: boolean };
type Answer = { error?: { description?: string } };

/**
 * Makes sure that a stream with a replica on each server of a complete cluster can be placed, by placing one, and that each
 * server knows the way to it: no monitoring endpoint tells either. Does nothing where clients need credentials or TLS.
 * @param leader must have heard of each server's JetStream resources
 * @throws Error with the server's reason
 */
export async function probePlacement(leader: Broker, brokers: readonly Broker[]): Promise<void> {
  const varz = (await (await fetch(`${leader.monitorUrl}/varz`)).json()) as Varz;
  if (varz.auth_required || varz.tls_required) return;

  const name = `plexus-probe-${randomUUID()}`;
  const num_replicas = Math.min(brokers.length, 5);
  const stream = { name, subjects: [name], storage: "memory", num_replicas };
  await using connections = new AsyncDisposableStack();
  const open = async ({ url }: Broker): Promise<NatsConnection> => {
    const connection = await connect({ servers: url, reconnect: false, timeout: 2_000 });
    connections.defer(() => connection.close());
    return connection;
  };
  const [first, ...others] = await Promise.all([leader, ...brokers].map(open));
  await request(first!, `$JS.API.STREAM.CREATE.${name}`, stream);
  try {
    await Promise.all(others.map((connection) => request(connection, name)));
  } finally {
    await request(first!, `$JS.API.STREAM.DELETE.${name}`);
  }
}

async function request(connection: NatsConnection, subject: string, body?: object): Promise<void> {
  const payload = body === undefined ? "" : JSON.stringify(body);
  const message = await connection.request(subject, payload, { timeout: electionMs });
  const { error } = message.json<Answer>();
  if (error) throw new Error(`a replicated stream cannot be used: ${error.description}`);
}
