import { setTimeout as sleep } from "node:timers/promises";
import { seededRandom, startProxy, type Proxy } from "@plexus/testing";
import { expect, test } from "vitest";
import { upTo, useMeshes } from "../../../test/support/mesh.ts";
import type { Lease } from "./lease.ts";

const meshes = useMeshes();

const TTL_MS = 500;
const SECONDS = 8;

test("whatever happens to the network and the broker, no two hold a lease at the same time", async () => {
  await using stack = new AsyncDisposableStack();
  const seed = Date.now() % 2 ** 31;
  const random = seededRandom(seed);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!;
  const proxies: Proxy[] = await Promise.all(
    upTo(4).map(async () => stack.use(await startProxy({ target: meshes.broker.url }))),
  );
  const joined = await Promise.all(proxies.map(({ url }) => meshes.join({ servers: url })));

  const leases: Lease[] = [];
  let mostHolders = 0;
  const look = (): void => {
    const holders = leases.filter((lease) => lease.held).length;
    mostHolders = Math.max(mostHolders, holders);
  };
  const ended = new AbortController();
  const { signal } = ended;
  const contend = async (mesh: (typeof joined)[number]): Promise<void> => {
    while (!signal.aborted) {
      try {
        await using lease = await mesh.lease("one", { ttl: TTL_MS, wait: "3s", signal });
        leases.push(lease);
        const untilMs = performance.now() + random() * 2 * TTL_MS;
        while (lease.held && performance.now() < untilMs) {
          look();
          await sleep(1);
        }
      } catch {
        // Others had it, or the network was broken: the next one.
      }
    }
  };
  const contending = joined.flatMap((mesh) => [contend(mesh), contend(mesh)]);

  const endMs = performance.now() + SECONDS * 1_000;
  for (let n = 1; performance.now() < endMs; n++) {
    const proxy = pick(proxies);
    const faults = [
      () => proxy.cut(),
      () => proxy.hold(),
      () => proxy.hold("toClient"),
      () => proxy.hold("toTarget"),
      () => proxy.delay(random() * 150, random() * 50),
    ];
    await (n % 15 === 0 ? meshes.broker.restart({ signal: "SIGKILL" }) : pick(faults)());
    await sleep(random() * 300);
    await pick(proxies).heal();
  }
  await Promise.all(proxies.map((proxy) => proxy.heal()));
  ended.abort();
  await Promise.all(contending);

  const tokens = leases.map(({ token }) => token);
  expect({ seed, mostHolders }).toEqual({ seed, mostHolders: 1 });
  expect(tokens).toEqual([...new Set(tokens)].toSorted((a, b) => a - b));
  expect(tokens.length).toBeGreaterThan(5);
  await expect.poll(() => joined[0]!.connected, { timeout: 10_000 }).toBe(true);
  await using last = await joined[0]!.lease("one", { ttl: TTL_MS, wait: "10s" });
  expect(last.held).toBe(true);
}, 60_000);
