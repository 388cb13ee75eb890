import { getContainerRuntimeClient } from "testcontainers";

/** How the names of everything begin that the tests make in the engine: with the process that made it. */
export const OWN = `plexus-test-${process.pid}`;
const OWNER = /^\/?plexus-test-(\d+)\b/;

/** Removes what test processes that were killed have left behind. */
export async function removeLeftovers(): Promise<void> {
  const { dockerode } = (await getContainerRuntimeClient()).container;
  const containers = await dockerode.listContainers({ all: true });
  await Promise.all(
    containers
      .filter(({ Names }) => Names.some(isLeft))
      .map(({ Id }) => dockerode.getContainer(Id).remove({ force: true, v: true })),
  );
  const networks = await dockerode.listNetworks();
  await Promise.all(
    networks.filter(({ Name }) => isLeft(Name)).map(({ Id }) => dockerode.getNetwork(Id).remove()),
  );
  const { Volumes } = await dockerode.listVolumes();
  await Promise.all(
    Volumes.filter(({ Name }) => isLeft(Name)).map(({ Name }) =>
      dockerode.getVolume(Name).remove(),
    ),
  );
  // What is cached of the first stage of earlier builds; the cache of today's is worth keeping.
  const stale = { dangling: ["true"], label: ["plexus.stage"], until: ["24h"] };
  await dockerode.pruneImages({ filters: stale });
}

function isLeft(name: string): boolean {
  const [, pid] = OWNER.exec(name) ?? [];
  if (pid === undefined) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}
