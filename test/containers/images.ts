import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFile, mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { findBroker } from "@plexus/testing";
import { GenericContainer, getContainerRuntimeClient } from "testcontainers";

/** Names of the images that the tests run. */
export interface Images {
  /** Of the repository's own Dockerfile. */
  readonly plexus: string;
  readonly nats: string;
  /** What the Plexus image stands on. */
  readonly base: string;
}

const run = promisify(execFile);
const root = join(import.meta.dirname, "..", "..");
/** Clones of the repository that share an engine must not share images. */
const clone = createHash("sha256").update(root).digest("hex").slice(0, 8);

/**
 * Builds the images without a network: what they stand on is made of this machine's Node.js and nats-server and the libraries that
 * these load, instead of an official image.
 */
export async function buildImages(): Promise<Images> {
  const images = {
    plexus: `plexus-test:${clone}`,
    nats: `plexus-test-nats:${clone}`,
    base: `plexus-test-base:${clone}`,
  };
  const broker = await findBroker();
  // The official image on Alpine, which compose.yaml names, has a wget, too.
  const programs = { "nats-server": broker.path, wget: await which("wget") };
  await Promise.all([
    buildRoot(images.base, { node: process.execPath }, []),
    buildRoot(images.nats, programs, ['ENTRYPOINT ["nats-server"]']),
  ]);
  await build(images.plexus, root, "deploy/Dockerfile", { BASE: images.base });
  return images;
}

/** Builds an image that holds nothing but these programs (name → file), their libraries and a user `node`. */
async function buildRoot(
  image: string,
  programs: Readonly<Record<string, string>>,
  instructions: readonly string[],
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "plexus-image-"));
  try {
    const add = async (path: string, from: string): Promise<void> => {
      const to = join(folder, "root", path);
      await mkdir(dirname(to), { recursive: true });
      await copyFile(await realpath(from), to);
    };
    for (const [program, file] of Object.entries(programs)) {
      await add(`/usr/local/bin/${program}`, file);
      for (const library of await librariesOf(file)) await add(library, library);
    }
    await mkdir(join(folder, "root", "etc"));
    await mkdir(join(folder, "root", "tmp"));
    await writeFile(join(folder, "root/etc/passwd"), "root:x:0:0::/:/\nnode:x:1000:1000::/tmp:/\n");
    await writeFile(join(folder, "root/etc/group"), "root:x:0:\nnode:x:1000:\n");
    const lines = ["FROM scratch", "COPY root /", "ENV PATH=/usr/local/bin", ...instructions];
    await writeFile(join(folder, "Dockerfile"), lines.join("\n"));
    await build(image, folder, "Dockerfile");
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Builds an image, all over if nothing of it is cached. */
export async function build(
  image: string,
  context: string,
  dockerfile: string,
  args: Record<string, string> = {},
): Promise<void> {
  // The library notices that a build has failed by there being no image: so the one before goes, and what is cached stays.
  const { dockerode } = (await getContainerRuntimeClient()).container;
  await dockerode
    .getImage(image)
    .remove({ force: true, noprune: true })
    .catch(() => undefined);
  try {
    await GenericContainer.fromDockerfile(context, dockerfile)
      .withBuildArgs(args)
      .build(image, { deleteOnExit: false });
  } catch (cause) {
    const how = "DEBUG=testcontainers:build npx vitest run test/containers";
    throw new Error(`${dockerfile} of ${context} cannot be built. \`${how}\` shows why.`, {
      cause,
    });
  }
}

/** What the loader would load: lines such as `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x…)`. None for a static program. */
async function librariesOf(file: string): Promise<string[]> {
  const { stdout } = await run("ldd", [file]).catch(() => ({ stdout: "" }));
  return [...new Set(stdout.match(/\/\S+(?= \(0x)/g))];
}

async function which(program: string): Promise<string> {
  try {
    return (await run("sh", ["-c", `command -v ${program}`])).stdout.trim();
  } catch {
    throw new Error(`There is no ${program} on PATH. Install it.`);
  }
}
