import { randomUUID } from "node:crypto";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import type { Broker } from "./broker.ts";

/** A new stream elects its leader first. When the first vote fails, the next takes place after 4 to 9 s. */
const electionMs = 10_000;

type Varz = { auth_required?: boolean; tls_required?: boolean };
type Answer = { error?: { description?: string } };

/**
 * Makes sure that a stream with a replica on each server of a complete cluster can be placed, by placing one. The leader must
 * have heard of each server's JetStream resources, and no monitoring endpoint tells. Does nothing where clients need
 * credentials or TLS.
 * @throws Error with the server's reason
 */
export async function probePlacement(broker: Broker, replicas: number): Promise<void> {
  const varz = (await (await fetch(`${broker.monitorUrl}/varz`)).json()) as Varz;
  if (varz.auth_required || varz.tls_required) return;

  const name = `plexus-probe-${randomUUID()}`;
  const stream = { name, subjects: [name], storage: "memory", num_replicas: Math.min(replicas, 5) };
  const connection = await connect({ servers: broker.url, reconnect: false, timeout: 2_000 });
  try {
    await request(connection, `$JS.API.STREAM.CREATE.${name}`, stream);
    await request(connection, `$JS.API.STREAM.DELETE.${name}`);
  } finally {
    await connection.close();
  }
}

async function request(connection: NatsConnection, subject: string, body?: object): Promise<void> {
  const payload = body === undefined ? "" : JSON.stringify(body);
  const message = await connection.request(subject, payload, { timeout: electionMs });
  const { error } = message.json<Answer>();
  if (error) throw new Error(`a replicated stream cannot be placed: ${error.description}`);
}
