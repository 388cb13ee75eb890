import { connect, type Mesh } from "@plexus/mesh";
import { afterAll, beforeAll, expect } from "vitest";
import { silent, upTo } from "../support/mesh.ts";
import { Clerk } from "./agents/contract.ts";
import { startCluster, type ContainerCluster } from "./cluster.ts";
import type { Container } from "./container.ts";
import type { Images } from "./images.ts";
import { countRecorded, startWork, type Work } from "./work.ts";

/** Brokers and clerks in containers, shared by the tests of a file. */
export interface ClusterFixture {
  readonly cluster: ContainerCluster;
  readonly mesh: Mesh;
  readonly clerks: Container[];
  startClerk(): Promise<Container>;
  /** Names of the clerks that are in the mesh. */
  present(): string[];
  /** Sees to it that not all clerks are connected to one broker. */
  spread(): Promise<void>;
  /**
   * Calls and submits tasks while `broken` breaks something, and finds that no call has failed, no task is lost and none is
   * recorded twice.
   */
  workThrough(
    call: (caller: Mesh) => Promise<unknown>,
    broken: (work: Work) => Promise<void>,
  ): Promise<void>;
}

/** Starts them before the first test of a file and removes them after the last one. */
export function useCluster(images: Images | undefined, clerks: number): ClusterFixture {
  let cluster: ContainerCluster;
  let mesh: Mesh;
  let reader: Mesh;
  let started = 0;
  let tasks = 0;
  const all: Container[] = [];
  const present = () => mesh.agents(Clerk).map(({ name }) => name);
  const startClerk = () => cluster.startAgent(`clerk-${++started}`, "clerk");

  beforeAll(async () => {
    if (images === undefined) return;
    cluster = await startCluster(images);
    all.push(...(await Promise.all(upTo(clerks).map(startClerk))));
    const join = () => connect({ servers: cluster.urls, http: false, log: silent });
    [mesh, reader] = [await join(), await join()];
    await mesh.waitFor(Clerk, { instances: clerks });
  }, 90_000);
  afterAll(async () => {
    await mesh?.close();
    await reader?.close();
    await cluster?.[Symbol.asyncDispose]();
  }, 60_000);

  return {
    get cluster() {
      return cluster;
    },
    get mesh() {
      return mesh;
    },
    clerks: all,
    startClerk,
    present,
    async spread() {
      while ((await cluster.connections("clerk-")).includes(all.length)) {
        await all[0]!.stop(30);
        await all[0]!.restart();
        await expect.poll(present, { timeout: 15_000 }).toHaveLength(all.length);
      }
    },
    async workThrough(call, broken) {
      await using work = startWork(mesh, call);
      await work.progress(50);
      await broken(work);
      await work.progress(50);
      const outcome = await work.finish(reader);
      tasks += outcome.tasks;
      expect(outcome).toMatchObject({ failedCalls: [], lost: [], recordedTwice: [] });
      expect(await countRecorded(cluster, mesh)).toBe(tasks);
    },
  };
}
