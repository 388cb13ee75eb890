/*
 * Succeeds when this container's agent answers: by default on /livez, which says that its event loop turns, or on the path that is
 * given. Not on /readyz by default: an agent that has lost the broker comes back by itself, and replacing it would help nobody.
 */
const { get } = process.getBuiltinModule("node:http"); // an import would load all of it, which takes 60 ms
const [path = "/livez"] = process.argv.slice(2);
const request = get(
  { host: "127.0.0.1", port: process.env.PLEXUS_HTTP_PORT, path, timeout: 2_000 },
  ({ statusCode }) => process.exit(statusCode === 200 ? 0 : 1),
);
request.on("timeout", () => request.destroy()).on("error", () => process.exit(1));
