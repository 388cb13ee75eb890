import { getContainerRuntimeClient } from "testcontainers";
import type { TestProject } from "vitest/node";
import { buildImages, type Images } from "./images.ts";
import { removeLeftovers } from "./leftovers.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Undefined: there is no engine, and the tests with containers are skipped. */
    images: Images | undefined;
  }
}

/** Runs once before all tests with containers: builds what they run. */
export default async function setup(project: TestProject): Promise<void> {
  process.env["TESTCONTAINERS_RYUK_DISABLED"] = "true"; // it would have to be pulled; leftovers.ts does its work
  const reason = await whyNot();
  if (reason === undefined) {
    await removeLeftovers();
    project.provide("images", await buildImages());
    return;
  }
  if (process.env["CI"]) throw new Error(reason);
  console.warn(`\nTests with containers are skipped: ${reason}\n`);
  project.provide("images", undefined);
}

async function whyNot(): Promise<string | undefined> {
  if (process.platform !== "linux")
    return "their images are made of this machine's programs, so it takes Linux.";
  try {
    await getContainerRuntimeClient();
    return undefined;
  } catch {
    return "no Docker engine answers. Start one (`systemctl start docker`), or run `npm test` as root on Debian, which does.";
  }
}
