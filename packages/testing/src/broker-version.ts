import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { run } from "./run.ts";

/** The oldest nats-server that has what Plexus needs (message schedules, atomic batches, per-message TTL). */
export const minimumVersion = "2.14.0";

/** Orders two dotted versions as a sort function does; a pre-release suffix is ignored. */
export function compareVersions(a: string, b: string): number {
  const [x, y] = [a, b].map((version) => version.split("-")[0]!.split(".").map(Number));
  for (let i = 0; i < 3; i += 1) {
    const difference = (x![i] ?? 0) - (y![i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

type Checked = Record<string, { size: number; mtimeMs: number; version: string; sha256?: string }>;

/**
 * Makes sure that the file is a nats-server that is new enough and, when a digest is given, that it has this SHA-256. What
 * was found is remembered in the cache by size and modification time, so that it costs a millisecond from then on.
 * @returns the version, such as "2.14.0"
 * @throws Error that says what is wrong with the file
 */
export async function checkBroker(path: string, cache: string, sha256?: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) throw new Error(`${path} does not exist`);
  const { size, mtimeMs } = found;
  const record = join(cache, "checked.json");
  const checked = await readChecked(record);
  let known = checked[path];

  if (known?.size !== size || known.mtimeMs !== mtimeMs || (sha256 && known.sha256 !== sha256)) {
    if (sha256 !== undefined) await verifySha256(path, sha256); // before it runs for the first time
    known = { size, mtimeMs, version: await readVersion(path), ...(sha256 && { sha256 }) };
    await writeChecked(record, { ...checked, [path]: known });
  }
  if (compareVersions(known.version, minimumVersion) < 0) {
    throw new Error(`${path} is version ${known.version}, older than ${minimumVersion}`);
  }
  return known.version;
}

/** @throws Error when the file's SHA-256 (hex) is another one. */
export async function verifySha256(path: string, expected: string): Promise<void> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  const actual = hash.digest("hex");
  if (actual !== expected) {
    throw new Error(`${path} has the wrong checksum: SHA-256 is ${actual}, must be ${expected}`);
  }
}

/** Runs `--version`. @throws Error when that is not nats-server's answer */
export async function readVersion(path: string): Promise<string> {
  let output: string;
  try {
    output = await run(path, ["--version"], { timeoutMs: 10_000 });
  } catch (error) {
    throw new Error(`does not run: ${(error as Error).message}`, { cause: error });
  }
  const version = /nats-server: v(\d+\.\d+\.\d+\S*)/.exec(output)?.[1];
  if (version === undefined) {
    throw new Error(`${path} is no nats-server: --version printed "${output.trim().slice(0, 80)}"`);
  }
  return version;
}

async function readChecked(record: string): Promise<Checked> {
  try {
    return JSON.parse(await readFile(record, "utf8")) as Checked;
  } catch {
    return {}; // first use, or unreadable: check again
  }
}

async function writeChecked(record: string, checked: Checked): Promise<void> {
  try {
    await mkdir(dirname(record), { recursive: true });
    const temporary = `${record}.${process.pid}.${Math.random().toString(36).slice(2)}`;
    await writeFile(temporary, JSON.stringify(checked));
    await rename(temporary, record); // processes that check at the same time never see half a file
  } catch {
    // a read-only home costs time, not correctness
  }
}
