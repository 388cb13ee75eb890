import { getContainerRuntimeClient } from "testcontainers";

/** Every container and network of the tests has this label, with the id of the process that made it. */
export const LABEL = "plexus.test";
export const owner = String(process.pid);

/** Removes what test processes that were killed have left behind. */
export async function removeLeftovers(): Promise<void> {
  const { dockerode } = (await getContainerRuntimeClient()).container;
  const filters = { label: [LABEL] };
  const isLeft = ({ Labels }: { Labels?: Record<string, string> | undefined }): boolean =>
    !isAlive(Number(Labels?.[LABEL]));
  const containers = await dockerode.listContainers({ all: true, filters });
  await Promise.all(
    containers
      .filter(isLeft)
      .map(({ Id }) => dockerode.getContainer(Id).remove({ force: true, v: true })),
  );
  const networks = await dockerode.listNetworks({ filters });
  await Promise.all(
    networks.filter(isLeft).map(({ Id }) => dockerode.getNetwork(Id).remove()),
  );
  // What is cached of the first stage of earlier builds; the cache of today's is worth keeping.
  const stale = { dangling: ["true"], label: ["plexus.stage"], until: ["24h"] };
  await dockerode.pruneImages({ filters: stale });
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
