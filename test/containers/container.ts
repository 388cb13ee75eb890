import { GenericContainer, getContainerRuntimeClient, Wait } from "testcontainers";
import { LABEL, owner } from "./leftovers.ts";

/** What to run in a container, and how it is reached. */
export interface ContainerSpec {
  readonly image: string;
  /** Network to join, by name; there the container is known as `name`. */
  readonly network: string;
  readonly name: string;
  readonly command: string[];
  readonly env?: Record<string, string>;
  /** Port in the container → port on 127.0.0.1. Fixed, so that they are the same after a restart. */
  readonly ports?: Readonly<Record<number, number>>;
  /** Absolute path → path in the container, read-only. */
  readonly mounts?: Readonly<Record<string, string>>;
  /** Folders of the container that keep what is written to them over a restart; all else is read-only. */
  readonly volumes?: readonly string[];
  /** The container counts as started with the first line that matches. */
  readonly until: RegExp;
}

/** How a container ended. */
export interface Ending {
  readonly code: number;
  readonly ms: number;
}

type Engine = Awaited<ReturnType<typeof getContainerRuntimeClient>>;

/** A running container that can be broken in every way that an engine offers. Disposing removes it with its volumes. */
export class Container implements AsyncDisposable {
  readonly name: string;
  readonly #spec: ContainerSpec;
  readonly #engine: Engine;
  readonly #container: ReturnType<Engine["container"]["getById"]>;

  private constructor(spec: ContainerSpec, engine: Engine, id: string) {
    this.name = spec.name;
    this.#spec = spec;
    this.#engine = engine;
    this.#container = engine.container.getById(id);
  }

  static async start(spec: ContainerSpec): Promise<Container> {
    const started = await new Hardened(spec).start();
    return new Container(spec, await getContainerRuntimeClient(), started.getId());
  }

  /** SIGKILL: nothing in the container learns of it. */
  async kill(): Promise<void> {
    await this.#container.kill({ signal: "SIGKILL" });
    await this.#container.wait();
  }

  /** Starts it again, with the same ports and volumes. */
  async restart(): Promise<void> {
    await this.#container.start();
  }

  /** SIGTERM, and SIGKILL after so many seconds. */
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
    const network = this.#engine.network.getById(this.#spec.network);
    await network.disconnect({ Container: this.#container.id });
  }

  async reconnect(): Promise<void> {
    const network = this.#engine.network.getById(this.#spec.network);
    await network.connect({
      Container: this.#container.id,
      EndpointConfig: { Aliases: [this.name] },
    });
  }

  /** What its image's HEALTHCHECK has found: starting, healthy, unhealthy. */
  async health(): Promise<string | undefined> {
    return (await this.#container.inspect()).State.Health?.Status;
  }

  /** Everything it has written, over all its lives. */
  async output(): Promise<string> {
    const log = await this.#container.logs({ stdout: true, stderr: true, follow: false });
    return withoutHeaders(log).toString();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#container.remove({ force: true, v: true });
  }
}

/** Locked down as deploy/compose.yaml does, and reached on 127.0.0.1 only. */
class Hardened extends GenericContainer {
  constructor(spec: ContainerSpec) {
    super(spec.image);
    this.createOpts = {
      ...this.createOpts,
      Cmd: spec.command,
      Env: Object.entries(spec.env ?? {}).map(([name, value]) => `${name}=${value}`),
      Labels: { [LABEL]: owner },
      ExposedPorts: Object.fromEntries(Object.keys(spec.ports ?? {}).map((port) => [`${port}/tcp`, {}])),
      Volumes: Object.fromEntries((spec.volumes ?? []).map((folder) => [folder, {}])),
      NetworkingConfig: { EndpointsConfig: { [spec.network]: { Aliases: [spec.name] } } },
    };
    this.hostConfig = {
      ...this.hostConfig,
      ReadonlyRootfs: true,
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges"],
      PortBindings: Object.fromEntries(
        Object.entries(spec.ports ?? {}).map(([port, onHost]) => [
          `${port}/tcp`,
          [{ HostIp: "127.0.0.1", HostPort: String(onHost) }],
        ]),
      ),
      Binds: Object.entries(spec.mounts ?? {}).map(([from, to]) => `${from}:${to}:ro`),
    };
    this.withNetworkMode(spec.network)
      .withWaitStrategy(Wait.forLogMessage(spec.until))
      .withStartupTimeout(60_000);
  }
}

/** An engine's log of a container without a terminal: frames of a header, whose last four bytes are the length, and text. */
function withoutHeaders(log: Buffer): Buffer {
  const texts: Buffer[] = [];
  for (let at = 0; at + 8 <= log.length; ) {
    const end = at + 8 + log.readUInt32BE(at + 4);
    texts.push(log.subarray(at + 8, end));
    at = end;
  }
  return Buffer.concat(texts);
}
