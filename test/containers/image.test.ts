import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getContainerRuntimeClient, ImageName } from "testcontainers";
import { describe, expect, inject, test } from "vitest";
import { Container } from "./container.ts";
import { build } from "./images.ts";
import { OWN } from "./leftovers.ts";

const images = inject("images");
const MIB = 2 ** 20;

/** Runs a command in the image to its end. */
async function run(...command: string[]): Promise<{ code: number; output: string }> {
  await using ended = await Container.start({ image: images!.plexus, command, until: "ended" });
  return { code: await ended.exitCode(), output: await ended.output() };
}

/** What the image has in a folder. */
async function list(folder: string): Promise<string[]> {
  const { output } = await run(
    "-p",
    `JSON.stringify(fs.readdirSync(${JSON.stringify(folder)}, { recursive: true }))`,
  );
  return JSON.parse(output) as string[];
}

describe.skipIf(!images)("the image", () => {
  test("adds to its base what runs, and nothing that only builds or tests", async () => {
    const { image } = await getContainerRuntimeClient();
    const size = async (name: string) => (await image.inspect(ImageName.fromString(name))).Size;
    expect((await size(images!.plexus)) - (await size(images!.base))).toBeLessThan(20 * MIB);
    const manifest = JSON.parse(
      readFileSync(join(import.meta.dirname, "../../package.json"), "utf8"),
    ) as {
      devDependencies: Record<string, string>;
    };
    const files = await list("/plexus");
    expect(files).toContain("packages/mesh/dist/index.js");
    expect(files.filter((file) => /\.(ts|map)$/.test(file))).toEqual([]);
    const present = Object.keys(manifest.devDependencies).filter((name) =>
      files.includes(join("node_modules", name)),
    );
    expect(present.toSorted()).toEqual([
      "@msgpack/msgpack",
      "@nats-io/jetstream",
      "@nats-io/transport-node",
      "zod",
    ]);
  });

  test("runs as a user without rights, on a file system that is read-only", async () => {
    const tries = `
      console.log(process.getuid(), process.getgid());
      for (const folder of ["/", "/plexus", "/tmp", "/etc"]) {
        try { fs.writeFileSync(folder + "/x", ""); console.log("wrote", folder); }
        catch (error) { console.log(error.code); }
      }`;
    expect(await run("-e", tries)).toEqual({
      code: 0,
      output: `1000 1000\n${"EROFS\n".repeat(4)}`,
    });
  });

  test("is the plexus command and the trading roles by name", async () => {
    expect(await run("plexus", "--version")).toEqual({ code: 0, output: "0.1.0\n" });
    const { code, output } = await run("trading", "nobody");
    expect({ code, output }).toEqual({ code: 2, output: expect.stringContaining("roles: index,") });
  });

  test("ends on SIGTERM as any process does, even before an agent listens for it", async () => {
    await using idle = await Container.start({
      image: images!.plexus,
      command: ["-e", "console.log('up'); setInterval(() => {}, 1_000)"],
      until: /^up/,
    });
    const { code, ms } = await idle.stop(30);
    expect(code).toBe(128 + 15);
    expect(ms).toBeLessThan(10_000);
  });

  test("carries agents that are copied into it, in TypeScript", async () => {
    const folder = await mkdtemp(join(tmpdir(), "plexus-image-"));
    const name = `${OWN}-desk`;
    try {
      const lines = [`FROM ${images!.plexus}`, "COPY . desk", 'CMD ["desk/host.ts"]'];
      await writeFile(join(folder, "Dockerfile"), lines.join("\n"));
      await writeFile(
        join(folder, "host.ts"),
        `import { agent } from "@plexus/core";
         import { connect } from "@plexus/mesh";
         import { z } from "zod";
         const Desk = agent("desk", { capabilities: { run: { input: z.string(), output: z.string() } } });
         const code: string = await connect({ timeout: "1s" }).catch((error) => error.code);
         console.log(Desk.name, code);`,
      );
      await build(name, folder, "Dockerfile");
      await using ended = await Container.start({ image: name, command: [], until: "ended" });
      expect(await ended.output()).toBe("desk NOT_CONNECTED\n");
    } finally {
      const { dockerode } = (await getContainerRuntimeClient()).container;
      await dockerode.getImage(name).remove({ force: true });
      await rm(folder, { recursive: true });
    }
  });
});
