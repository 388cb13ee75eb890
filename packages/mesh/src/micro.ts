import type { Agent, Capability } from "@plexus/core";
import type { InstanceInfo } from "./directory.ts";
import type { RequestMetrics } from "./metrics.ts";
import type { LinkSubscription } from "./nats/link.ts";
import type { Runtime } from "./runtime.ts";

// The NATS service protocol (ADR-32), so that `nats micro ls|info|stats` and every other standard tool sees agents.
const VERBS = ["PING", "INFO", "STATS"] as const;
type Verb = (typeof VERBS)[number];

/** What the face shows of an instance. */
export interface MicroService {
  readonly contract: Pick<Agent, "name" | "version" | "description">;
  readonly info: InstanceInfo;
  readonly served: ReadonlyMap<
    string,
    {
      readonly name: string;
      readonly capability: Pick<Capability, "description" | "idempotent">;
      readonly metrics: RequestMetrics;
    }
  >;
}

/**
 * Answers `$SRV.PING|INFO|STATS` for every instance this process hosts. The service name is `<mesh>-<agent>`, since
 * `$SRV` is shared by all meshes on a broker; the id is the instance's.
 */
export class MicroFace {
  readonly #runtime: Runtime;
  readonly #hosts = new Set<MicroService>();
  readonly #subscriptions = new Map<string, { subscription: LinkSubscription; users: number }>();

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  add(host: MicroService): void {
    this.#hosts.add(host);
    for (const [subject, verb] of this.#subjects(host)) {
      const known = this.#subscriptions.get(subject);
      if (known) known.users++;
      else {
        const subscription = this.#runtime.link.subscribe(subject, (_data, asked, reply) =>
          this.#answer(verb, asked, reply),
        );
        this.#subscriptions.set(subject, { subscription, users: 1 });
      }
    }
  }

  remove(host: MicroService): void {
    if (!this.#hosts.delete(host)) return;
    for (const [subject] of this.#subjects(host)) {
      const known = this.#subscriptions.get(subject);
      if (known === undefined || --known.users > 0) continue;
      known.subscription.unsubscribe();
      this.#subscriptions.delete(subject);
    }
  }

  #subjects(host: MicroService): [string, Verb][] {
    const name = this.#name(host);
    return VERBS.flatMap((verb): [string, Verb][] => [
      [`$SRV.${verb}`, verb],
      [`$SRV.${verb}.${name}`, verb],
      [`$SRV.${verb}.${name}.${host.info.instance}`, verb],
    ]);
  }

  #name(host: MicroService): string {
    return `${this.#runtime.subjects.mesh}-${host.contract.name}`;
  }

  #answer(verb: Verb, asked: string, reply: string | undefined): void {
    if (reply === undefined) return;
    const [, , name, id] = asked.split(".");
    for (const host of this.#hosts) {
      if (name !== undefined && name !== this.#name(host)) continue;
      if (id !== undefined && id !== host.info.instance) continue;
      this.#runtime.link.publish(reply, Buffer.from(JSON.stringify(this.#describe(verb, host))));
    }
  }

  #describe(verb: Verb, host: MicroService): object {
    const { contract, info } = host;
    const type = `io.nats.micro.v1.${verb.toLowerCase()}_response`;
    const metadata = {
      mesh: this.#runtime.subjects.mesh,
      agent: contract.name,
      host: info.host,
      pid: String(info.pid),
    };
    const identity = {
      type,
      name: this.#name(host),
      id: info.instance,
      version: contract.version,
      metadata,
    };
    if (verb === "PING") return identity;
    const endpoints = [...host.served.values()].map(({ name, capability, metrics }) => {
      const subject = this.#runtime.subjects.rpc(contract.name, name);
      if (verb === "INFO") {
        const { description = "", idempotent = false } = capability;
        const about = { description, idempotent: String(idempotent) };
        return { name, subject, queue_group: "rpc", metadata: about };
      }
      const { count, sum } = metrics.duration;
      return {
        name,
        subject,
        queue_group: "rpc",
        num_requests: count,
        num_errors: count - metrics.ok.value,
        last_error: "",
        processing_time: Math.round(sum * 1e9), // nanoseconds
        average_processing_time: count === 0 ? 0 : Math.round((sum / count) * 1e9),
      };
    });
    return verb === "INFO"
      ? { ...identity, description: contract.description, endpoints }
      : { ...identity, started: new Date(info.startedAt).toISOString(), endpoints };
  }
}
