import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { loadMeshFile } from "./mesh-file.ts";

const folder = mkdtempSync(join(tmpdir(), "plexus-mesh-file-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;

/** Writes a mesh file (each under its own name: modules are loaded once) and loads it. */
function load(text: string): ReturnType<typeof loadMeshFile> {
  files += 1;
  const file = join(folder, `mesh-${files}.mjs`);
  writeFileSync(file, text);
  return loadMeshFile(file);
}

test("what is left out is filled in", async () => {
  writeFileSync(join(folder, "greeter.mjs"), "");
  const mesh = await load(`export default { agents: { greeter: { module: "./greeter.mjs" } } }`);
  expect(mesh).toEqual({
    agents: { greeter: { module: join(folder, "greeter.mjs"), replicas: 1, env: {}, args: [] } },
  });
});

test.each([
  [`{ agents: {} }`, /agents: must name at least one agent/],
  [`{}`, /agents: Invalid input/],
  [`{ agents: { a: {} } }`, /agents\.a\.module: Invalid input/],
  [`{ agents: { a: { module: "./greeter.mjs", replicas: 0 } } }`, /agents\.a\.replicas: Too small/],
  [
    `{ agents: { a: { module: "./greeter.mjs", replica: 2 } } }`,
    /agents\.a: Unrecognized key: "replica"/,
  ],
  [`{ agents: { a: { module: "./greeter.mjs", env: { A: 1 } } } }`, /agents\.a\.env\.A: Invalid/],
  [`{ agents: { a: { module: "./greeter.mjs", graphs: 1 } } }`, /agents\.a\.graphs: Invalid/],
  [`{ agents: { "a b": { module: "./greeter.mjs" } } }`, /agents\.a b/],
  [`{ mesh: "a.b", agents: { a: { module: "./greeter.mjs" } } }`, /mesh: must be 1 to 60/],
  [
    `{ agents: { a: { module: "./nowhere.mjs" } } }`,
    /agents\.a\.module: there is no file .*nowhere/,
  ],
])("%s is refused with the field's name", async (text, message) => {
  await expect(load(`export default ${text}`)).rejects.toThrow(message);
  await expect(load(`export default ${text}`)).rejects.toMatchObject({ code: "USAGE" });
});

test("a file without a default export, or with an error, is refused", async () => {
  await expect(load(`export const mesh = 1`)).rejects.toThrow(/no default export/);
  await expect(load(`throw new Error("oh no")`)).rejects.toThrow(/cannot be loaded: oh no/);
  await expect(load(`throw null`)).rejects.toThrow(/cannot be loaded: null/);
  await expect(loadMeshFile(join(folder, "none.ts"))).rejects.toThrow(/There is no mesh file/);
});
