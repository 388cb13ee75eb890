import { randomUUID } from "node:crypto";
import {
  GenericContainer,
  getContainerRuntimeClient,
  StartupCheckStrategy,
  Wait,
} from "testcontainers";
import { OWN } from "./leftovers.ts";

/** What to run in a container, and how it is reached. */
export interface ContainerSpec {
  readonly image: string;
  readonly command: readonly string[];
  /** Network to join, by name, and what the container is called there. Default: none. */
  readonly network?: string;
  readonly name?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Port in the container → port on 127.0.0.1. Fixed, so that they are the same after a restart. */
  readonly ports?: Readonly<Record<number, number>>;
  /** Absolute path → path in the container, read-only. */
  readonly mounts?: Readonly<Record<string, string>>;
  /** Folders of the container that keep what is written to them over a restart; all else is read-only. */
  readonly volumes?: readonly string[];
  /** What {@link Container.stop} sends, if it is not what the image says. */
  readonly stopSignal?: string;
  /** How often to do the image's HEALTHCHECK, if not as often as it says. Two that fail make it unhealthy. */
  readonly healthEveryMs?: number;
  /** The container counts as started with the first line that matches. */
  readonly until: RegExp | "running" | "ended";
}

/** How a container ended. */
export interface Ending {
  readonly code: number;
  readonly ms: number;
}

type Engine = Awaited<ReturnType<typeof getContainerRuntimeClient>>;

/** A container that can be broken in every way that an engine offers. Disposing removes it with its volumes. */
export class Container implements AsyncDisposable {
  readonly name: string;
  readonly #network: string;
  readonly #engine: Engine;
  readonly #container: ReturnType<Engine["container"]["getById"]>;
  #removed: Promise<unknown> | undefined;

  private constructor({ network = "none", name = "" }: ContainerSpec, engine: Engine, id: string) {
    this.name = name;
    this.#network = network;
    this.#engine = engine;
    this.#container = engine.container.getById(id);
  }

  static async start(spec: ContainerSpec): Promise<Container> {
    const hardened = new Hardened(spec);
    try {
      const started = await hardened.start();
      return new Container(spec, await getContainerRuntimeClient(), started.getId());
    } catch (cause) {
      // By now the library has removed it.
      const what = `${spec.name ?? spec.command.join(" ")} did not start`;
      throw new Error(`${what}. It said:\n${hardened.said}`, { cause });
    }
  }

  /** Sends a signal to its first process. */
  async signal(name: NodeJS.Signals): Promise<void> {
    await this.#container.kill({ signal: name });
  }

  /** SIGKILL: nothing in the container learns of it. */
  async kill(): Promise<void> {
    await this.signal("SIGKILL");
    await this.#container.wait();
  }

  /** Starts it again, with the same ports and volumes. */
  async restart(): Promise<void> {
    await this.#container.start();
  }

  /** Asks it to end, and kills it after so many seconds. */
  async stop(seconds: number): Promise<Ending> {
    const from = performance.now();
    await this.#container.stop({ t: seconds });
    const { State } = await this.#container.inspect();
    return { code: State.ExitCode, ms: performance.now() - from };
  }

  /** Freezes every process in it; its connections stay open. */
  async pause(): Promise<void> {
    await this.#container.pause();
  }

  async resume(): Promise<void> {
    await this.#container.unpause();
  }

  /** Takes it off its network: nothing arrives any more, and nobody is told. */
  async disconnect(): Promise<void> {
    await this.#engine.network.getById(this.#network).disconnect({ Container: this.#container.id });
  }

  async reconnect(): Promise<void> {
    await this.#engine.network.getById(this.#network).connect({
      Container: this.#container.id,
      EndpointConfig: { Aliases: [this.name] },
    });
  }

  /** What its image's HEALTHCHECK has found: starting, healthy, unhealthy. */
  async health(): Promise<string | undefined> {
    return (await this.#container.inspect()).State.Health?.Status;
  }

  async exitCode(): Promise<number> {
    return (await this.#container.inspect()).State.ExitCode;
  }

  /** Everything it has written, over all its lives. */
  async output(): Promise<string> {
    const log = await this.#container.logs({ stdout: true, stderr: true, follow: false });
    return withoutHeaders(log).toString();
  }

  /** Once: a test may end what its cluster would end as well. */
  async [Symbol.asyncDispose](): Promise<void> {
    await (this.#removed ??= this.#container.remove({ force: true, v: true }));
  }
}

/** Locked down as deploy/compose.yaml does, and reached on 127.0.0.1 only. */
class Hardened extends GenericContainer {
  /** What it has written while it was being started. */
  said = "";

  constructor(spec: ContainerSpec) {
    super(spec.image);
    const { network = "none", name = randomUUID(), ports = {}, healthEveryMs } = spec;
    const everyNs = (healthEveryMs ?? 0) * 1e6;
    this.createOpts = {
      ...this.createOpts,
      name: `${network === "none" ? OWN : network}-${name}`,
      Cmd: [...spec.command],
      Env: Object.entries(spec.env ?? {}).map(([key, value]) => `${key}=${value}`),
      ExposedPorts: Object.fromEntries(Object.keys(ports).map((port) => [`${port}/tcp`, {}])),
      Volumes: Object.fromEntries((spec.volumes ?? []).map((folder) => [folder, {}])),
      ...(spec.network === undefined
        ? {}
        : { NetworkingConfig: { EndpointsConfig: { [network]: { Aliases: [name] } } } }),
      ...(spec.stopSignal === undefined ? {} : { StopSignal: spec.stopSignal }),
      ...(healthEveryMs === undefined
        ? {}
        : { Healthcheck: { Test: [], Interval: everyNs, Timeout: everyNs, Retries: 2 } }),
    };
    this.hostConfig = {
      ...this.hostConfig,
      ReadonlyRootfs: true,
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges"],
      PortBindings: Object.fromEntries(
        Object.entries(ports).map(([port, onHost]) => [
          `${port}/tcp`,
          [{ HostIp: "127.0.0.1", HostPort: String(onHost) }],
        ]),
      ),
      Binds: Object.entries(spec.mounts ?? {}).map(([from, to]) => `${from}:${to}:ro`),
    };
    this.withNetworkMode(network)
      .withWaitStrategy(
        spec.until instanceof RegExp
          ? Wait.forLogMessage(spec.until)
          : new StateWaitStrategy(spec.until),
      )
      .withLogConsumer((log) => log.on("data", (text) => (this.said += String(text))))
      .withStartupTimeout(60_000);
  }
}

class StateWaitStrategy extends StartupCheckStrategy {
  readonly #awaited: "running" | "ended";

  constructor(awaited: "running" | "ended") {
    super();
    this.#awaited = awaited;
  }

  override async checkStartupState(
    ...[dockerode, id]: Parameters<StartupCheckStrategy["checkStartupState"]>
  ): ReturnType<StartupCheckStrategy["checkStartupState"]> {
    const { State } = await dockerode.getContainer(id).inspect();
    return State.Running === (this.#awaited === "running") ? "SUCCESS" : "PENDING";
  }
}

/** An engine's log of a container without a terminal: frames of a header, whose last four bytes are the length, and text. */
function withoutHeaders(log: Buffer): Buffer {
  const texts: Buffer[] = [];
  for (let at = 0; at + 8 <= log.length;) {
    const end = at + 8 + log.readUInt32BE(at + 4);
    texts.push(log.subarray(at + 8, end));
    at = end;
  }
  return Buffer.concat(texts);
}
