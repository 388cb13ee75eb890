import { defineConfig } from "vitest/config";

// Tests run the TypeScript sources of every package (export condition "plexus-source"), never a stale build.
export default defineConfig({
  resolve: { conditions: ["plexus-source"] },
  ssr: { resolve: { conditions: ["plexus-source"], externalConditions: ["plexus-source"] } },
  test: {
    include: ["packages/*/src/**/*.test.ts", "test/**/*.test.ts"],
    testTimeout: 20_000,
    hookTimeout: 30_000,
    maxWorkers: 2,
    expect: { poll: { timeout: 5_000, interval: 20 } },
  },
});
