import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { checkBroker, compareVersions } from "./broker-version.ts";
import { startBroker } from "./broker.ts";
import { releaseName } from "./fetch-release.ts";
import { type BrokerSource, findBroker, type FindBrokerOptions } from "./find-broker.ts";

const hasNpmPackage = process.platform === "linux" && process.arch === "x64";
let directory: string;
let servers: Server[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "plexus-test-"));
});
afterEach(async () => {
  for (const server of servers) server.close();
  servers = [];
  await rm(directory, { recursive: true });
});

/** Writes a program that answers `--version` like nats-server of that version. */
async function fakeServer(name: string, version: string): Promise<string> {
  const path = join(directory, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `#!/bin/sh\necho "nats-server: v${version}"\n`, { mode: 0o755 });
  return path;
}

/** Searches only the given sources, with a cache and a PATH of the test's own. */
function find(sources: BrokerSource[], options: FindBrokerOptions = {}) {
  const env = {
    PATH: join(directory, "bin"),
    XDG_CACHE_HOME: join(directory, "cache"),
    ...options.env,
  };
  return findBroker({ ...options, sources, env });
}

const cacheFolder = () => join(directory, "cache", "plexus", "nats-server");

test("PLEXUS_NATS_SERVER goes before anything else", async () => {
  const path = await fakeServer("mine", "2.99.1");
  const found = await findBroker({ env: { PLEXUS_NATS_SERVER: path, XDG_CACHE_HOME: directory } });
  expect(found).toEqual({ path, version: "2.99.1", source: "env" });
});

test("a PLEXUS_NATS_SERVER that is too old, broken or missing is an error that says so", async () => {
  const attempt = (path: string) =>
    findBroker({ env: { PLEXUS_NATS_SERVER: path, XDG_CACHE_HOME: directory } });
  const old = await fakeServer("old", "2.10.29");
  await expect(attempt(old)).rejects.toThrow(
    `- env: ${old} is version 2.10.29, older than 2.14.0\nFix it with: unset PLEXUS_NATS_SERVER`,
  );
  const failing = join(directory, "failing");
  await writeFile(failing, "#!/bin/sh\necho no luck >&2; exit 1\n", { mode: 0o755 });
  await expect(attempt(failing)).rejects.toThrow(/env: does not run: .*failing: no luck/);
  const other = join(directory, "other");
  await writeFile(other, "#!/bin/sh\necho some other program\n", { mode: 0o755 });
  await expect(attempt(other)).rejects.toThrow(/other is no nats-server/);
  await expect(attempt(join(directory, "none"))).rejects.toThrow(/none does not exist/);
});

test("when nothing serves, the error lists each source, its reason and one command", async () => {
  await fakeServer("bin/nats-server", "2.9.0");
  const failure = await find(["path", "cache"], { fetch: false }).then(
    () => "found one",
    (error: Error) => error.message,
  );
  expect(failure).toContain(
    `- path: ${join(directory, "bin", "nats-server")} is version 2.9.0, older than 2.14.0`,
  );
  expect(failure).toContain(`- cache: ${cacheFolder()} holds no nats-server`);
  expect(failure).toContain("- download: not allowed (fetch is false)");
  expect(failure).toMatch(/\nFix it with: \S+/);
});

test("a nats-server on PATH goes before the npm package", async () => {
  const path = await fakeServer("bin/nats-server", "2.20.0");
  expect(await find(["path", "npm"])).toMatchObject({ path, source: "path" });
});

test.runIf(hasNpmPackage)("an old nats-server on PATH gives way to the npm package", async () => {
  await fakeServer("bin/nats-server", "2.9.0");
  expect(await find(["path", "npm"])).toMatchObject({ version: "2.14.0", source: "npm" });
});

test("the newest cached version is used", async () => {
  await fakeServer(join("cache/plexus/nats-server/2.9.0/nats-server"), "2.9.0");
  const path = await fakeServer(join("cache/plexus/nats-server/2.15.1/nats-server"), "2.15.1");
  expect(await find(["cache"])).toEqual({ path, version: "2.15.1", source: "cache" });
});

test("a wrong checksum is refused before the file is run", async () => {
  const path = join(directory, "trojan");
  const proof = join(directory, "it-ran");
  await writeFile(path, `#!/bin/sh\ntouch ${proof}; echo "nats-server: v2.14.0"\n`, {
    mode: 0o755,
  });
  await expect(checkBroker(path, directory, "0".repeat(64))).rejects.toThrow(
    /trojan has the wrong checksum: SHA-256 is [0-9a-f]{64}, must be 0{64}/,
  );
  await expect(readFile(proof)).rejects.toThrow("ENOENT");
});

test("a verified file is not read again, one that changed is", async () => {
  const path = await fakeServer("server", "2.14.0");
  const text = await readFile(path);
  const sha256 = createHash("sha256").update(text).digest("hex");
  const cache = join(directory, "cache");
  const time = new Date(1_700_000_000_000);
  await utimes(path, time, time);
  await checkBroker(path, cache, sha256);
  await writeFile(path, text.fill("#")); // same size; with the old time back it passes for the same file
  await utimes(path, time, time);
  expect(await checkBroker(path, cache, sha256)).toBe("2.14.0");
  await utimes(path, new Date(), new Date());
  await expect(checkBroker(path, cache, sha256)).rejects.toThrow(/wrong checksum/);
});

test("versions compare by number", () => {
  expect(compareVersions("2.9.25", "2.14.0")).toBeLessThan(0);
  expect(compareVersions("2.14.0", "2.14.0")).toBe(0);
  expect(compareVersions("3.0.0-RC.1", "2.14.9")).toBeGreaterThan(0);
});

/** Serves a release archive with a stand-in server, and the given checksum file. */
async function serveRelease(sums: (sha256: string, archive: string) => string): Promise<string> {
  const name = releaseName();
  await fakeServer(join("release", name, "nats-server"), "2.14.0");
  execFileSync("tar", [
    "-czf",
    join(directory, "a.tar.gz"),
    "-C",
    join(directory, "release"),
    name,
  ]);
  const archive = await readFile(join(directory, "a.tar.gz"));
  const sha256 = createHash("sha256").update(archive).digest("hex");
  const files: Record<string, string | Buffer> = {
    "/v2.14.0/SHA256SUMS": sums(sha256, `${name}.tar.gz`),
    [`/v2.14.0/${name}.tar.gz`]: archive,
  };
  const server = createServer((request, response) => {
    const body = files[request.url ?? ""];
    response.writeHead(body === undefined ? 404 : 200).end(body);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("a release archive is fetched, verified and unpacked into the cache", async () => {
  const releaseUrl = await serveRelease(
    (sha256, archive) => `${"0".repeat(64)}  x\n${sha256}  ${archive}\n`,
  );
  const env = { PATH: process.env["PATH"] };
  const path = join(cacheFolder(), "2.14.0", "nats-server");
  expect(await find(["release"], { releaseUrl, env })).toEqual({
    path,
    version: "2.14.0",
    source: "release",
  });
  expect(await find(["cache"])).toMatchObject({ path, source: "cache" });
  expect(await readdir(cacheFolder())).toEqual(["2.14.0", "checked.json"]);
});

test("a release archive with another checksum is refused and leaves nothing in the cache", async () => {
  const releaseUrl = await serveRelease((_, archive) => `${"1".repeat(64)}  ${archive}\n`);
  await expect(find(["release"], { releaseUrl })).rejects.toThrow(
    /release: .* has the wrong checksum/,
  );
  expect(await readdir(cacheFolder())).toEqual([]);
});

test("a release without a checksum for the archive, or that cannot be reached, is refused", async () => {
  const releaseUrl = await serveRelease(() => "");
  await expect(find(["release"], { releaseUrl })).rejects.toThrow(
    /SHA256SUMS does not list nats-server-v/,
  );
  const wrong = { releaseUrl: `${releaseUrl}/nowhere` };
  await expect(find(["release"], wrong)).rejects.toThrow(
    /nowhere\/v2.14.0\/SHA256SUMS answered 404/,
  );
  const closed = { releaseUrl: "http://127.0.0.1:9" };
  await expect(find(["release"], closed)).rejects.toThrow(/cannot be reached/);
});

test.runIf(process.platform === "linux")(
  "the binary is copied out of the Docker image and the container removed (docker is a stand-in)",
  async () => {
    await fakeServer("image/nats-server", "2.14.0");
    const calls = join(directory, "calls");
    await mkdir(join(directory, "bin"));
    await writeFile(
      join(directory, "bin", "docker"),
      `#!/bin/sh
echo "$1 $2" >> ${calls}
case $1 in
  create) echo c0ffee ;;
  cp) cp ${join(directory, "image", "nats-server")} "$3" ;;
esac\n`,
      { mode: 0o755 },
    );
    const env = { PATH: `${join(directory, "bin")}:${process.env["PATH"]}` };
    expect(await find(["docker"], { env })).toMatchObject({ version: "2.14.0", source: "docker" });
    expect(await readFile(calls, "utf8")).toBe(
      "version --format\ncreate nats:2.14.0\ncp c0ffee:/nats-server\nrm c0ffee\n",
    );
  },
);

test("a machine without apt-get and docker gets that as the reason", async () => {
  await expect(find(["debian", "docker"])).rejects.toThrow(
    /- debian: apt-get: not installed\n {2}- docker: (docker: not installed|the image holds)/,
  );
});

// Needs the network, so only on request.
test.runIf(process.env["PLEXUS_TEST_DOWNLOADS"])(
  "Debian's package runs out of the cache, without being installed",
  { timeout: 120_000 },
  async () => {
    const { path, source } = await find(["debian"], { env: { PATH: process.env["PATH"] } });
    expect(source).toBe("debian");
    const kept = join(directory, "nats-server");
    await cp(path, kept);
    await using broker = await startBroker({ binary: kept });
    expect((await fetch(`${broker.monitorUrl}/healthz`)).status).toBe(200);
  },
);
