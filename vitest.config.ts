import { defineConfig } from "vitest/config";

const containers = "test/containers/**/*.test.ts";

// Tests run the TypeScript sources of every package (export condition "plexus-source"), never a stale build.
export default defineConfig({
  resolve: { conditions: ["plexus-source"] },
  ssr: { resolve: { conditions: ["plexus-source"], externalConditions: ["plexus-source"] } },
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: "mesh",
          include: ["packages/*/src/**/*.test.ts", "test/**/*.test.ts"],
          exclude: [containers],
        },
      },
      {
        extends: true,
        test: {
          name: "containers",
          include: [containers],
          globalSetup: "test/containers/setup.ts",
          env: { TESTCONTAINERS_RYUK_DISABLED: "true" },
          // A dozen containers are load enough: one file at a time, when everything else is done.
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
    // These end what hangs; a bound that a test is about stands in that test.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    expect: { poll: { timeout: 15_000, interval: 20 } },
  },
});
