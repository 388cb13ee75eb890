import { readFileSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "..");

/** Which packages each package may import, by the layers of ARCHITECTURE.md. Arrows point only downward. */
const LAYERS: Record<string, { internal: string[]; external: RegExp }> = {
  core: { internal: [], external: /^(zod|@msgpack\/msgpack)$/ },
  mesh: {
    internal: ["core"],
    external: /^(zod|pino|prom-client|diff|node-diff3|@nats-io\/[\w-]+)$/,
  },
  llm: {
    internal: ["core"],
    external: /^(zod|opossum|@ai-sdk\/[\w-]+|@pydantic\/genai-prices)$/,
  },
  workflow: { internal: ["core"], external: /^zod$/ },
  testing: { internal: ["core", "mesh"], external: /^@nats-io\/[\w-]+$/ },
  trading: { internal: ["core", "mesh", "llm", "workflow"], external: /^(?!@nats-io\/).+$/ },
  "refactor-crew": {
    internal: ["core", "mesh", "llm", "workflow"],
    external: /^(?!@nats-io\/).+$/,
  },
  cli: {
    internal: ["core", "mesh", "llm", "testing", "trading", "refactor-crew", "workflow"],
    external: /^(?!@nats-io\/).+$/,
  },
};

interface Import {
  readonly file: string;
  readonly specifier: string;
}

function sources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))
    .map((name) => join(folder, name));
}

function importsOf(packageName: string): Import[] {
  return sources(join(root, "packages", packageName, "src")).flatMap((file) =>
    [
      ...readFileSync(file, "utf8").matchAll(/(?:\bfrom\s+|\bimport(?:\s*\(\s*|\s+))"([^"]+)"/g),
    ].map((match) => ({
      file: relative(root, file),
      specifier: match[1]!,
    })),
  );
}

function violations(packageName: string): string[] {
  const { internal, external } = LAYERS[packageName]!;
  return importsOf(packageName)
    .filter(({ specifier }) => !specifier.startsWith(".") && !specifier.startsWith("node:"))
    .filter(({ specifier }) =>
      specifier.startsWith("@plexus/")
        ? !internal.includes(specifier.slice("@plexus/".length))
        : !external.test(
            specifier
              .split("/")
              .slice(0, specifier.startsWith("@") ? 2 : 1)
              .join("/"),
          ),
    )
    .map(({ file, specifier }) => `${file} imports ${specifier}`);
}

describe("the layers", () => {
  it("name every package that exists", () => {
    expect(readdirSync(join(root, "packages")).toSorted()).toEqual(Object.keys(LAYERS).toSorted());
  });

  it.each(Object.keys(LAYERS))("let %s import only what stands below it", (packageName) => {
    expect(violations(packageName)).toEqual([]);
  });

  it("keep the NATS client inside packages/mesh/src/nats", () => {
    const outside = importsOf("mesh")
      .filter(({ specifier }) => specifier.startsWith("@nats-io/"))
      .filter(({ file }) => !file.startsWith("packages/mesh/src/nats/"));
    expect(outside).toEqual([]);
  });

  it("forbid reaching into another package by path", () => {
    const reaching = Object.keys(LAYERS).flatMap((packageName) =>
      importsOf(packageName).filter(
        ({ file, specifier }) =>
          specifier.startsWith(".") &&
          !join(root, file, "..", specifier).startsWith(join(root, "packages", packageName)),
      ),
    );
    expect(reaching).toEqual([]);
  });

  it("are declared: each package depends on exactly the packages it imports", () => {
    for (const packageName of Object.keys(LAYERS)) {
      const manifest = JSON.parse(
        readFileSync(join(root, "packages", packageName, "package.json"), "utf8"),
      ) as { dependencies?: Record<string, string> };
      const declared = Object.keys(manifest.dependencies ?? {}).filter((name) =>
        name.startsWith("@plexus/"),
      );
      const imported = new Set(
        importsOf(packageName)
          .map(({ specifier }) => specifier)
          .filter((specifier) => specifier.startsWith("@plexus/")),
      );
      expect({ packageName, imports: [...imported].toSorted() }).toEqual({
        packageName,
        imports: declared.toSorted(),
      });
    }
  });
});
