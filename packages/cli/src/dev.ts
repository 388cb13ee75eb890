import { hostname } from "node:os";
import { dirname, resolve } from "node:path";
import type { InstanceInfo, Mesh } from "@plexus/mesh";
import { InvalidArgumentError, type Command } from "commander";
import { devBroker } from "./dev-broker.ts";
import { devView, type DevView } from "./dev-view.ts";
import { fired, interruptible } from "./interrupt.ts";
import { loadMeshFile, type LoadedMesh } from "./mesh-file.ts";
import { joinMesh, meshCommand, type MeshOptions } from "./mesh-options.ts";
import { Reloader } from "./reloader.ts";
import { Supervisor, type ProcessSpec } from "./supervisor.ts";
import { watchFolder } from "./watch-folder.ts";

interface DevOptions extends MeshOptions {
  readonly port?: number;
  readonly watch: boolean;
}

/** How long a reloaded process has to join the mesh before the next replica is reloaded. */
const READY_MS = 5_000;

/** `plexus dev` */
export function devCommand(): Command {
  return meshCommand(
    "dev",
    "run a mesh on this machine: a broker and one process per agent replica",
  )
    .argument(
      "[mesh-file]",
      "a module whose default export is defineMesh({ … }); without one, only the broker runs",
    )
    .option(
      "--port <n>",
      "port of the embedded broker; 0: any (default: 4222 if it is free)",
      portArgument,
    )
    .option("--no-watch", "do not reload agents when their sources change")
    .addHelpText(
      "after",
      `
Brings its own broker, unless --server names one (PLEXUS_SERVERS is not read). Processes that crash are started again with
growing delays; a change in the folder of an agent's module restarts its replicas one after the other, each draining first.
Ctrl-C drains everything; a second one kills. With --json: one event per line.`,
    )
    .action((file: string | undefined, options: DevOptions, command: Command) => {
      const { server: _, ...own } = options;
      const given = command.getOptionValueSource("server") === "cli" ? options : own;
      return interruptible((signal) => dev(file, given, signal));
    });
}

async function dev(
  file: string | undefined,
  options: DevOptions,
  signal: AbortSignal,
): Promise<void> {
  const definition = file === undefined ? { agents: {} } : await loadMeshFile(file);
  const specs = processSpecs(definition);
  const view = devView(
    specs.map(({ name }) => name),
    options.json === true,
  );
  const meshName = options.mesh ?? definition.mesh ?? "plexus";
  await using broker = await devBroker(options.server, options.port);
  await using mesh = await joinMesh({ ...options, server: broker.url, mesh: meshName });
  view.show({ event: "broker", mesh: meshName, ...broker.facts });

  // By pid as well: a module may give connect() a name of its own.
  const pids = new Map<number, string>();
  const processOf = ({ host, pid, name }: InstanceInfo): string | undefined =>
    (host === hostname() ? pids.get(pid) : undefined) ??
    specs.find((spec) => spec.name === name)?.name;
  const reloader = new Reloader((name) => {
    const joined = (instance: InstanceInfo): boolean => processOf(instance) === name;
    return restartAndWait(supervisor, mesh, name, joined, signal);
  });
  const stopWatching =
    file !== undefined && options.watch
      ? watchSources(file, definition, specs, reloader, view)
      : [];
  const stopListening = mesh.watch(({ type, instance }) => {
    const process = processOf(instance);
    if (process !== undefined && type === "joined") {
      view.show({ event: "ready", process, agent: instance.agent, instance: instance.instance });
    }
  });
  await using supervisor = new Supervisor({
    onEvent: (event) => {
      if (event.event === "started") pids.set(event.pid, event.process);
      view.show(event);
    },
  });
  const env = { PLEXUS_SERVERS: broker.url, PLEXUS_MESH: meshName };
  for (const { module: _, ...spec } of specs) {
    supervisor.start({ ...spec, env: { ...spec.env, ...env, PLEXUS_NAME: spec.name } });
  }
  await fired(signal);
  for (const stop of stopWatching) stop();
  stopListening();
  view.show({ event: "stopping" });
}

/** A process, and the file that it is about. */
interface ModuleProcess extends ProcessSpec {
  readonly module: string;
}

/** One process for every replica of every agent: `greeter`, or `greeter-1`, `greeter-2`. */
function processSpecs({ agents }: LoadedMesh): ModuleProcess[] {
  // Agents resolve their packages the way this process does.
  const execArgv = process.execArgv.filter((option) => /^(?:-C|--conditions)\b/.test(option));
  return Object.entries(agents).flatMap(([agent, { module, graphs, replicas, env, args }]) =>
    Array.from({ length: replicas }, (_, index) => ({
      name: replicas === 1 ? agent : `${agent}-${index + 1}`,
      module,
      script: graphs ? process.argv[1]! : module,
      env,
      args: graphs ? ["workflow", "serve", module, ...args] : args,
      cwd: dirname(module),
      execArgv,
    })),
  );
}

/** Reloads the processes whose module's folder changes. Returns the functions that end it. */
function watchSources(
  file: string,
  { agents }: LoadedMesh,
  specs: readonly ModuleProcess[],
  reloader: Reloader,
  view: DevView,
): (() => void)[] {
  const meshFile = resolve(file);
  const folders = new Set(Object.values(agents).map(({ module }) => dirname(module)));
  return [...folders].map((folder) =>
    watchFolder(folder, (changed) => {
      const files = changed.filter((path) => path !== meshFile);
      if (files.length < changed.length) view.show({ event: "mesh-file-changed", file: meshFile });
      if (files.length === 0) return;
      const affected = specs.filter((spec) => dirname(spec.module) === folder);
      view.show({ event: "reloading", files, processes: affected.map(({ name }) => name) });
      for (const module of new Set(affected.map((spec) => spec.module))) {
        reloader.reload(
          module,
          affected.filter((spec) => spec.module === module).map(({ name }) => name),
        );
      }
    }),
  );
}

/** Restarts a process and resolves when it is in the mesh again, or has had its time. */
async function restartAndWait(
  supervisor: Supervisor,
  mesh: Mesh,
  name: string,
  isIts: (instance: InstanceInfo) => boolean,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) return;
  const { promise: joined, resolve: join } = Promise.withResolvers<void>();
  await supervisor.stop(name);
  const stop = mesh.watch(({ type, instance }) => {
    if (type === "joined" && isIts(instance)) join();
  });
  const timer = setTimeout(join, READY_MS);
  signal.addEventListener("abort", () => join(), { once: true });
  await supervisor.restart(name);
  await joined;
  clearTimeout(timer);
  stop();
}

function portArgument(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535) throw new InvalidArgumentError("Use 0 to 65535.");
  return port;
}
